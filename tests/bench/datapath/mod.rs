//! `bench datapath`: what the walls cost. Each bench starts and stops what it needs by itself.

mod connect;
mod frame;
mod load;
mod packet;
mod push;
mod runner;
mod stream;
mod trio;

use anyhow::Result;
use clap::Args;
use enforcer_lab::spec::LabName;

use crate::suite::{Effort, Measure, Options};

/// Options of the suite: packet, tcp, connect, push and load.
#[derive(Args, Default)]
pub(crate) struct Datapath {
    #[command(flatten)]
    options: Options,
}

const BENCHES: [(&str, Measure); 5] = [
    ("packet", packet::measure),
    ("tcp", stream::measure),
    ("connect", connect::measure),
    ("push", push::measure),
    ("load", load::measure),
];

impl Datapath {
    pub(crate) fn run(&self) -> Result<()> {
        self.options.run(&BENCHES)
    }
}

/// The labs that these benches build.
pub(crate) fn labs() -> Result<Vec<LabName>> {
    Ok(vec![trio::LAB.parse()?, push::LAB.parse()?])
}

/// Interleaved runs of everything that is compared.
const fn rounds(effort: Effort) -> usize {
    match effort {
        Effort::Full => 9,
        Effort::Quick => 5,
    }
}
