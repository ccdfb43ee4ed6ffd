//! Evidence from the kernel to the disk and out again: who may see which of it, what becomes of it when processes are
//! killed, disks are full and files are tampered with, and whether other people's programs read it. Every claim is tried for
//! whom it allows and for whom it denies.

mod detection;
mod engines;
mod exports;
mod hubble;
mod investigation;
mod kernel;
mod outside;
mod scope;
mod site;
mod store;
mod tamper;

use std::process::ExitCode;

use anyhow::Result;
use enforcer_lab::guard;
use enforcer_tests::runner::{Case, run};

use crate::site::Site;

/// The lab of these tests.
const LAB: &str = "tevid";

fn main() -> Result<ExitCode> {
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(run(|| Site::new(LAB), &cases()));
    }
    guard::guarded(&[LAB.parse()?], || run(|| Site::new(LAB), &cases()))
}

fn cases() -> Vec<Case<Site>> {
    [
        investigation::CASES,
        kernel::CASES,
        scope::CASES,
        hubble::CASES,
        exports::CASES,
        engines::CASES,
        detection::CASES,
        store::CASES,
        tamper::CASES,
    ]
    .concat()
}
