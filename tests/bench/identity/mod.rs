//! `bench identity`: what certificates cost. Each bench starts and stops what it needs by itself.

mod first;
mod issue;
mod revoke;
mod rotation;
mod streams;
mod wall;

use anyhow::Result;
use clap::Args;
use enforcer_lab::spec::LabName;

use crate::suite::{Measure, Options};

/// Options of the suite: issue, first, revoke, streams and rotation.
#[derive(Args, Default)]
pub(crate) struct Identity {
    #[command(flatten)]
    options: Options,
}

const BENCHES: [(&str, Measure); 5] = [
    ("issue", issue::measure),
    ("first", first::measure),
    ("revoke", revoke::measure),
    ("streams", streams::measure),
    ("rotation", rotation::measure),
];

impl Identity {
    pub(crate) fn run(&self) -> Result<()> {
        self.options.run(&BENCHES)
    }
}

/// The labs that these benches build.
pub(crate) fn labs() -> Result<Vec<LabName>> {
    Ok(vec![wall::LAB.parse()?])
}
