//! `cargo xtask demo`: two nodes, three tenants, and the walls between them.
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

/// Show the walls at work.
#[derive(Args)]
pub(crate) struct Demo {
    /// A list of `{step, expected, observed, ok}`.
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        anyhow::bail!("no demo yet (json: {})", self.json)
    }
}
