//! Flows over mutual TLS between real agents: unmodified clients and servers over both hops, every layer that keeps
//! another tenant out with the others switched off, tunnels that are open while something changes, and peers that
//! keep to no rule. Every claim is tried for whom it allows and for whom it denies.

mod carry;
mod faithful;
mod foreign;
mod h2;
mod handshake;
mod layers;
mod live;
mod native;
mod pair;
mod papers;
mod rogue;
mod site;
mod tls;
mod words;

use std::process::ExitCode;

use anyhow::Result;
use enforcer_lab::guard;
use enforcer_tests::runner::{Case, run};

use crate::site::Site;

/// The lab of these tests.
const LAB: &str = "ttun";

fn main() -> Result<ExitCode> {
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(run(|| Site::new(LAB), &cases()));
    }
    guard::guarded(&[LAB.parse()?], || run(|| Site::new(LAB), &cases()))
}

fn cases() -> Vec<Case<Site>> {
    [
        carry::CASES,
        faithful::CASES,
        layers::CASES,
        foreign::CASES,
        handshake::CASES,
        words::CASES,
        live::CASES,
    ]
    .concat()
}
