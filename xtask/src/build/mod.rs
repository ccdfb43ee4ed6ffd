//! `cargo xtask build`: the kernel programs, and the programs that the lab runs.

pub(crate) mod ebpf;

use anyhow::Result;
use clap::Args;
use enforcer_lab::binaries::BIN_DIR;

use crate::shell;

/// Packages whose programs the lab starts.
const PACKAGES: [&str; 3] = ["enforcer-agent", "enforcer-cli", "enforcer-lab"];

/// Build the kernel programs, the agent, enforcerctl and the lab's probe.
#[derive(Args, Default)]
pub(crate) struct Build {
    /// Optimised, as it is deployed.
    #[arg(long)]
    release: bool,
}

/// Builds what the lab runs, unless the environment names a directory that has it.
pub(crate) fn programs() -> Result<()> {
    if std::env::var_os(BIN_DIR).is_some() { Ok(()) } else { Build::default().run() }
}

impl Build {
    pub(crate) fn run(&self) -> Result<()> {
        ebpf::build()?;
        let mut command = shell::cargo(&["build", "--quiet"]);
        if self.release {
            command.arg("--release");
        }
        command.args(PACKAGES.iter().flat_map(|package| ["--package", package])).arg("--bins");
        shell::run(&mut command)
    }
}
