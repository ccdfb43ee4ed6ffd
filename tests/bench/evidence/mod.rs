//! `bench evidence`: what it costs to record, how much can be recorded, and how fast it is found again. Loads are refusals of
//! real packets by the real programs; the agent is held to one core.

mod cost;
mod day;
mod field;
mod overload;

use anyhow::Result;
use clap::Args;
use enforcer_lab::spec::LabName;

use crate::suite::Options;

/// Options of the suite: overload, cost and day.
#[derive(Args, Default)]
pub(crate) struct Evidence {
    #[command(flatten)]
    options: Options,
}

impl Evidence {
    pub(crate) fn run(&self) -> Result<()> {
        self.options.run(&[
            ("overload", overload::measure as crate::suite::Measure),
            ("cost", cost::measure),
            ("day", day::measure),
        ])
    }
}

/// The labs that these benches build.
pub(crate) fn labs() -> Result<Vec<LabName>> {
    Ok(vec![field::LAB.parse()?])
}
