//! Attacks on devices of another tenant's, on the running kernel: each is tried without an agent, where it must succeed,
//! and in every tier, where it must come to what the golden table says.

mod attack;
mod fixture;
mod ledger;
mod matrix;
mod walls;

use std::process::ExitCode;

use anyhow::Result;
use enforcer_lab::guard;
use enforcer_tests::runner::run;

use crate::fixture::{LAB, Wall};

fn main() -> Result<ExitCode> {
    let cases = [attack::CASES, walls::CASES, ledger::CASES].concat();
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(run(Wall::new, &cases));
    }
    guard::guarded(&[LAB.parse()?], || run(Wall::new, &cases))
}
