//! `cargo xtask bench`: builds for release and hands over to the benches.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::build::ebpf;
use crate::shell;

/// Measure: all benches, or the ones that are named.
#[derive(Args)]
pub(crate) struct Bench {
    /// Names of benches and their options; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        ebpf::build()?;
        let mut build = shell::cargo(&["build", "--release", "--quiet", "--package", "enforcer-agent"]);
        shell::run(build.args(["--package", "enforcer-cli", "--package", "enforcer-lab", "--bins"]))?;
        let mut command = shell::cargo(&["run", "--release", "--quiet", "--package", "enforcer-tests"]);
        command.args(["--bin", "bench", "--"]).args(&self.arguments);
        Ok(shell::code(shell::status(&mut command)?))
    }
}
