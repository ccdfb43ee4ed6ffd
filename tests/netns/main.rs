//! Flows between workloads and nodes, through real agents: every scenario that a release must pass, in tenant
//! terms. Each refusal is tried on the socket hooks and on the interface hooks, and must be counted and recorded.

mod capacity;
mod cross_tenant;
mod host;
mod identity;
mod life;
mod packets;
mod records;
mod rules;
mod same_tenant;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use enforcer_lab::config::Config;
use enforcer_lab::guard;
use enforcer_lab::spec::{LabName, Spec};
use enforcer_tests::net::Net;
use enforcer_tests::runner::{Case, run};

/// The labs of these tests: the one that all cases share, and the one with small tables.
const SHARED: &str = "tnetns";
const SMALL: &str = "tsmall";

fn main() -> Result<ExitCode> {
    let names: Vec<LabName> = [SHARED, SMALL].into_iter().map(str::parse).collect::<Result<_, _>>()?;
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(run(fixture, &cases()));
    }
    guard::guarded(&names, || run(fixture, &cases()))
}

fn fixture() -> Result<Net> {
    Net::new(&Spec::new(SHARED.parse()?, 2, 3, 2)?, Config::default())
}

fn cases() -> Vec<Case<Net>> {
    [
        same_tenant::CASES,
        cross_tenant::CASES,
        rules::CASES,
        world::CASES,
        host::CASES,
        identity::CASES,
        packets::CASES,
        records::CASES,
        capacity::CASES,
        life::CASES,
    ]
    .concat()
}
