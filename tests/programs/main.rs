//! The kernel programs under `BPF_PROG_TEST_RUN`: packets through the interface programs with the tables that a
//! policy compiles to, as tables of expectations, and differentially against the same code on the host.

mod differential;
mod evidence;
mod fixture;
mod frame;
mod intercept;
mod life;
mod origin;
mod packets;
mod play;
mod policy;
mod responses;
mod tables;
mod tunnel;

use std::process::ExitCode;

use enforcer_tests::runner::run;

use crate::fixture::Node;

fn main() -> ExitCode {
    let cases = [
        packets::CASES,
        policy::CASES,
        tunnel::CASES,
        intercept::CASES,
        tables::CASES,
        life::CASES,
        differential::CASES,
        evidence::CASES,
        origin::CASES,
        responses::CASES,
    ];
    run(Node::new, &cases.concat())
}
