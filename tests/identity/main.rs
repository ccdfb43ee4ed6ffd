//! Certificates for workloads, as other people's programs see them: on one node that is its own authority, and
//! on two of which one is the authority of the other. Every claim is tried for whom it allows and for whom it
//! denies.

mod attestation;
mod certificate;
mod client;
mod crowd;
mod disk;
mod enrolment;
mod envoy;
mod federation;
mod files;
mod heard;
mod keys;
mod life;
mod network;
mod nodes;
mod openssl;
mod outside;
mod policy;
mod python;
mod revocation;
mod rotation;
mod rust;
mod site;
mod statements;
mod token;
mod trust;
mod upstream;

use std::process::ExitCode;

use anyhow::Result;
use enforcer_lab::guard;
use enforcer_lab::spec::LabName;
use enforcer_tests::runner::{Case, run};

use crate::site::Site;

/// The labs of these tests: a node by itself, and two nodes.
const ALONE: &str = "tident";
const FLEET: &str = "tfleet";

fn main() -> Result<ExitCode> {
    if std::env::args().nth(1).is_some_and(|word| word == client::WORD) {
        return client::run().map(|()| ExitCode::SUCCESS);
    }
    let names: Vec<LabName> = [ALONE, FLEET].into_iter().map(str::parse).collect::<Result<_, _>>()?;
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(every_lab());
    }
    guard::guarded(&names, every_lab)
}

/// One lab after the other.
fn every_lab() -> ExitCode {
    let alone = run(|| Site::alone(ALONE), &cases_alone());
    let fleet = run(|| Site::fleet(FLEET), &cases_of_a_fleet());
    if alone == ExitCode::SUCCESS { fleet } else { alone }
}

fn cases_alone() -> Vec<Case<Site>> {
    [
        rust::CASES,
        python::CASES,
        files::CASES,
        statements::CASES,
        envoy::CASES,
        rotation::CASES,
        revocation::CASES,
        trust::CASES,
        policy::CASES,
        attestation::CASES,
        crowd::CASES,
        life::CASES,
        keys::CASES,
        disk::CASES,
        upstream::CASES,
        token::CASES,
        network::CASES,
        federation::CASES,
    ]
    .concat()
}

fn cases_of_a_fleet() -> Vec<Case<Site>> {
    nodes::CASES.to_vec()
}
