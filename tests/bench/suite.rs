//! A suite of benches: what the command line says of all of them, and running the ones it names.

use anyhow::{Result, bail};
use clap::Args;

use crate::figure::Figure;
use crate::table;

/// Options of a suite.
#[derive(Args, Default)]
pub(crate) struct Options {
    /// Print a list of figures instead of a table.
    #[arg(long)]
    json: bool,
    /// Run one bench of the suite; a name that is none of them lists them.
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

/// A bench.
pub(crate) type Measure = fn(Effort) -> Result<Vec<Figure>>;

impl Options {
    /// Runs the benches that are wanted, and prints what they found.
    pub(crate) fn run<M>(&self, benches: &[(&str, M)]) -> Result<()>
    where
        M: Fn(Effort) -> Result<Vec<Figure>>,
    {
        let effort = if self.quick { Effort::Quick } else { Effort::Full };
        let wanted = |name: &str| self.only.as_deref().is_none_or(|only| only == name);
        let chosen: Vec<_> = benches.iter().filter(|(name, _)| wanted(name)).collect();
        if chosen.is_empty() {
            let names: Vec<&str> = benches.iter().map(|(name, _)| *name).collect();
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
