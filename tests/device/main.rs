//! The device gate on the running kernel, on the control groups of a lab's node. The GPU is a device node whose
//! driver is missing: an open that passes the gate ends with ENXIO, one that does not with EPERM.

mod custody;
mod drill;
mod fixture;
mod gate;
mod life;
mod memory;
mod nvidia;
mod services;

use std::process::ExitCode;

use anyhow::Result;
use enforcer_lab::guard;
use enforcer_tests::runner::run;

use crate::fixture::{Gate, LAB};

fn main() -> Result<ExitCode> {
    let cases = [
        gate::CASES,
        services::CASES,
        life::CASES,
        custody::CASES,
        memory::CASES,
        nvidia::CASES,
        drill::CASES,
    ]
    .concat();
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(run(Gate::new, &cases));
    }
    guard::guarded(&[LAB.parse()?], || run(Gate::new, &cases))
}
