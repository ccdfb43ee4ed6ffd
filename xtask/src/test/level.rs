//! The levels of the pyramid, and how each is run.

use std::fmt;
use std::process::Command;

use anyhow::{Result, bail};
use clap::ValueEnum;

use super::stream;
use super::tally::Tally;
use crate::vm::{Kernel, Vm};
use crate::{setup, shell};

/// Packages whose tests need nothing but a compiler.
const PURE: [&str; 7] = [
    "enforcer-common",
    "enforcer-core",
    "enforcer-trace",
    "enforcer-agent",
    "enforcer-cli",
    "enforcer-lab",
    "xtask",
];
/// Packages with examples in their documentation.
const DOCUMENTED: [&str; 3] = ["enforcer-common", "enforcer-core", "enforcer-agent"];
/// In the names of the tests that replay the corpus of a fuzz target.
const CORPUS: &str = "corpus";

/// A level of tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Pure steps and properties, the agent's rooms, the command line.
    Unit,
    /// The corpus of every fuzz target, replayed. Part of `unit`; here to run it alone.
    Fuzz,
    /// Each kernel program through the kernel's test runner. Needs root.
    Programs,
    /// Flows between nodes and workloads made of namespaces. Needs root.
    Netns,
    /// The device gate. Needs root.
    Device,
    /// Attacks on devices that are held and passed. Needs root.
    Handles,
    /// Certificates for workloads, as real clients see them. Needs root.
    Identity,
    /// Flows over mutual TLS, honest and otherwise. Needs root.
    Tunnel,
    /// Traces, from the kernel to the tools that read them. Needs root.
    Evidence,
    /// The device wall in a machine that boots another kernel, with security hooks for programs.
    Vm,
}

impl Level {
    /// What runs when no level is named: every one that is not part of another.
    pub(crate) const USUAL: [Self; 9] = [
        Self::Unit,
        Self::Programs,
        Self::Netns,
        Self::Device,
        Self::Handles,
        Self::Identity,
        Self::Tunnel,
        Self::Evidence,
        Self::Vm,
    ];

    /// The kernel of the level `vm`: what most nodes run. `cargo xtask vm` has the others.
    const IN_MACHINE: Kernel = Kernel::V6_12;

    /// What a pass means.
    pub(crate) const fn proves(self) -> &'static str {
        match self {
            Self::Unit => "each step on its own, and decide() against the reference evaluator",
            Self::Fuzz => "the doors on every input that was ever found interesting",
            Self::Programs => "the kernel programs, packet by packet",
            Self::Netns => "real flows through real agents",
            Self::Device => "the device gate on the running kernel",
            Self::Handles => "attacks on devices on the running kernel",
            Self::Identity => "certificates for workloads, as other people's programs see them",
            Self::Tunnel => "flows over mutual TLS between real agents, and peers that keep to no rule",
            Self::Evidence => {
                "records from the kernel to the disk and out again, read by other people's programs"
            }
            Self::Vm => "the device wall on a kernel of Debian's, whose security hooks run programs",
        }
    }

    /// Runs it.
    ///
    /// # Errors
    /// It could not be run at all.
    pub(crate) fn run(self, filter: Option<&str>) -> Result<Tally> {
        if self.needs_root() && !nix::unistd::geteuid().is_root() {
            bail!("the level {self} attaches programs to the kernel: run `cargo xtask test {self}` as root");
        }
        if self == Self::Vm {
            return Vm::hooks_on(Self::IN_MACHINE, filter).tally();
        }
        self.ensure_tools()?;
        let mut tally = Tally::default();
        for mut command in self.commands(filter) {
            tally.add(&stream::tallied(&mut command)?);
        }
        Ok(tally)
    }

    const fn needs_root(self) -> bool {
        // In a machine everybody is root.
        !matches!(self, Self::Unit | Self::Fuzz | Self::Vm)
    }

    /// Other people's programs without which it would only fail.
    fn ensure_tools(self) -> Result<()> {
        match self {
            Self::Unit => setup::tokens(),
            Self::Identity => setup::tokens().and_then(|()| setup::clients()),
            Self::Tunnel => setup::programs().and_then(|()| setup::clients()),
            Self::Evidence => setup::readers(),
            Self::Fuzz | Self::Programs | Self::Netns | Self::Device | Self::Handles | Self::Vm => Ok(()),
        }
    }

    fn commands(self, filter: Option<&str>) -> Vec<Command> {
        let filter: Vec<&str> = filter.into_iter().collect();
        match self {
            Self::Unit => {
                let mut documentation = shell::cargo(&["test", "--quiet", "--doc"]);
                documentation.args(packages(&DOCUMENTED));
                let mut all = vec![pure(&PURE, &filter)];
                if filter.is_empty() {
                    all.push(documentation);
                }
                all
            }
            Self::Fuzz => {
                vec![pure(&["enforcer-core", "enforcer-agent"], &[&[CORPUS], filter.as_slice()].concat())]
            }
            Self::Programs
            | Self::Netns
            | Self::Device
            | Self::Handles
            | Self::Identity
            | Self::Tunnel
            | Self::Evidence => {
                let name = self.to_string();
                let mut command = shell::cargo(&["test", "--quiet", "--package", "enforcer-tests", "--test"]);
                // One kernel, one set of hooks: what they count must be theirs alone.
                command.arg(name).args(["--", "--test-threads=1"]).args(&filter);
                let mut all = vec![command];
                if self == Self::Programs {
                    all.push(rooted(&filter));
                }
                all
            }
            // Runs no command of cargo's but builds, and then a machine.
            Self::Vm => Vec::new(),
        }
    }
}

/// Tests of the agent and of its store that need root, which the level `unit` leaves out. Measurements need a bench.
fn rooted(filter: &[&str]) -> Command {
    let mut command =
        shell::cargo(&["test", "--package", "enforcer-agent", "--package", "enforcer-trace", "--lib", "--"]);
    command.args(["--ignored", "--test-threads=1", "--skip", "tests::speed::"]).args(filter);
    command
}

/// With nextest when it is there, which runs each test in a process of its own; else with cargo alone.
fn pure(names: &[&str], filter: &[&str]) -> Command {
    let mut command = if shell::has("cargo-nextest") {
        shell::cargo(&["nextest", "run", "--no-fail-fast", "--no-tests=warn", "--status-level=skip"])
    } else {
        shell::cargo(&["test", "--no-fail-fast", "--lib", "--bins", "--tests"])
    };
    command.args(packages(names)).args(filter);
    command
}

fn packages<'a>(names: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    names.iter().flat_map(|name| ["--package", name])
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Unit => "unit",
            Self::Fuzz => "fuzz",
            Self::Programs => "programs",
            Self::Netns => "netns",
            Self::Device => "device",
            Self::Handles => "handles",
            Self::Identity => "identity",
            Self::Tunnel => "tunnel",
            Self::Evidence => "evidence",
            Self::Vm => "vm",
        };
        f.pad(word)
    }
}
