//! `bench datapath`: what the walls cost. Each bench starts and stops what it needs by itself.

mod connect;
mod device;
mod frame;
mod load;
mod packet;
mod push;
mod runner;
mod stream;
mod trio;

use anyhow::{Result, bail};
use clap::Args;
use enforcer_lab::spec::LabName;

use crate::figure::Figure;
use crate::table;

/// Options of the suite.
#[derive(Args, Default)]
pub(crate) struct Datapath {
    /// Print a list of figures instead of a table.
    #[arg(long)]
    json: bool,
    /// Run one bench: packet, tcp, connect, device, push or load.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Small sizes and short runs: that it works, not what it measures.
    #[arg(long)]
    quick: bool,
}

/// How large and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// As the goals ask.
    Full,
    /// Enough to see that it works.
    Quick,
}

type Measure = fn(Effort) -> Result<Vec<Figure>>;

const BENCHES: [(&str, Measure); 6] = [
    ("packet", packet::measure),
    ("tcp", stream::measure),
    ("connect", connect::measure),
    ("device", device::measure),
    ("push", push::measure),
    ("load", load::measure),
];

impl Datapath {
    pub(crate) fn run(&self) -> Result<()> {
        let effort = if self.quick { Effort::Quick } else { Effort::Full };
        let wanted = |name: &str| self.only.as_deref().is_none_or(|only| only == name);
        let chosen: Vec<_> = BENCHES.iter().filter(|(name, _)| wanted(name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = BENCHES.iter().map(|(name, _)| *name).collect();
            bail!("no bench of that name: there are {}", names.join(", "));
        }
        let mut all = Vec::new();
        for (name, measure) in chosen {
            eprintln!("measuring {name}");
            let figures = measure(effort)?;
            if !self.json {
                println!("{}", table::of(&figures));
            }
            all.extend(figures);
        }
        if self.json {
            println!("{}", serde_json::to_string_pretty(&all)?);
        }
        Ok(())
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
