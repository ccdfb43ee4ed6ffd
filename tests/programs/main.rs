//! The kernel programs under `BPF_PROG_TEST_RUN`: packets through the interface programs with the tables that a
//! policy compiles to, as tables of expectations, and differentially against the same code on the host.

mod differential;
mod fixture;
mod frame;
mod life;
mod packets;
mod policy;
mod tables;

use std::process::ExitCode;

use enforcer_tests::runner::run;

use crate::fixture::Node;

fn main() -> ExitCode {
    run(Node::new, &[packets::CASES, policy::CASES, tables::CASES, life::CASES, differential::CASES].concat())
}
