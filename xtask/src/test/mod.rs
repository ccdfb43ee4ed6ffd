//! `cargo xtask test`: every level, or some; at the end one line a level, every skipped test by name and
//! reason, and the total.

mod level;
mod skips;
mod stream;
pub(crate) mod tally;

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::build;
use level::Level;
use skips::Skips;
use tally::Tally;

/// Run the tests, all levels or those named. All but unit, fuzz and vm need root.
#[derive(Args)]
pub(crate) struct Test {
    /// Levels to run; every one when none is named.
    #[arg(value_enum)]
    levels: Vec<Level>,
    /// Only tests whose names contain this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

impl Test {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let levels = if self.levels.is_empty() { Level::USUAL.to_vec() } else { self.levels.clone() };
        let skips = Skips::load()?;
        build::programs()?;
        let mut results = Vec::new();
        for level in levels {
            eprintln!("\n== {level}: {}", level.proves());
            results.push((level, level.run(self.filter.as_deref())?));
        }
        Ok(conclude(&results, &skips, self.filter.is_some()))
    }
}

fn conclude(results: &[(Level, Tally)], skips: &Skips, filtered: bool) -> ExitCode {
    let mut total = Tally::default();
    let mut good = true;
    println!();
    for (level, tally) in results {
        println!("{level:<9} {tally}");
        for (name, reason) in &tally.skipped {
            let listed = skips.allows(*level, name);
            println!(
                "  skipped {name}: {reason}{}",
                if listed { "" } else { " (NOT LISTED in tests/skips.txt)" }
            );
            good &= listed;
        }
        // A level that ran nothing has proven nothing.
        let empty = tally.passed + tally.failed == 0 && !filtered;
        if empty {
            println!("  nothing ran");
        }
        good &= tally.is_good() && !empty;
        total.add(tally);
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
