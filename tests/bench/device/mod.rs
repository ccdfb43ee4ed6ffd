//! `bench device`: what the device wall costs, at each hook, and how fast it takes a device away.

mod ground;
mod held;
mod open;
mod revoke;
mod sweep;

use anyhow::Result;
use clap::Args;
use enforcer_lab::spec::LabName;

use crate::suite::{Effort, Measure, Options};

/// Options of the suite: open, held, sweep and revoke.
#[derive(Args, Default)]
pub(crate) struct Device {
    #[command(flatten)]
    options: Options,
}

const BENCHES: [(&str, Measure); 4] = [
    ("open", open::measure),
    ("held", held::measure),
    ("sweep", sweep::measure),
    ("revoke", revoke::measure),
];

impl Device {
    pub(crate) fn run(&self) -> Result<()> {
        self.options.run(&BENCHES)
    }
}

/// The labs that these benches build: none, they have walls of their own.
pub(crate) const fn labs() -> Vec<LabName> {
    Vec::new()
}

/// Interleaved runs of everything that is compared.
const fn rounds(effort: Effort) -> usize {
    match effort {
        Effort::Full => 9,
        Effort::Quick => 5,
    }
}

/// A count, for arithmetic with times.
#[expect(clippy::cast_precision_loss, reason = "counts of processes and nanoseconds of a bench")]
pub(crate) const fn count(number: usize) -> f64 {
    number as f64
}
