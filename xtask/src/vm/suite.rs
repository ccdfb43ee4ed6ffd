//! What runs in the machines: test programs of `tests/`, and the measuring of the verifier's work.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use enforcer_vm::Job;
use serde::Deserialize;

use super::image::BIN_DIR;
use super::kernel::Kernel;
use crate::{root, shell};

/// Suites that decide something about the kernel, in the order in which they run. Those that this tree lacks are left
/// out.
const KNOWN: [&str; 4] = ["programs", "device", "handles", "netns"];
/// Those in which security hooks decide.
pub(super) const OF_HOOKS: [&str; 3] = [COST, "handles", "device"];
/// The package of the suites.
const PACKAGE: &str = "enforcer-tests";
/// The program that loads every kernel program and says what the verifier did.
pub(super) const COST: &str = "cost";
const COST_PROGRAM: &str = "verifier-cost";

/// Of suites whose every case takes ten seconds where every instruction is emulated: the cases that run unless all are
/// asked for. Each stands for a hook or for what an agent does to the kernel.
const USUAL: [(&str, &[&str]); 2] = [
    (
        "device",
        &[
            "gate::the_granted_tenant_passes",
            "gate::another_tenant_is_refused",
            "gate::making_a_gated_node_is_refused",
            "gate::moving_out_of_the_tenants_group_loses_the_grant",
            "services::a_listed_service_passes",
            "life::the_gate_stands_when_the_agent_was_killed",
            "memory::the_next_tenant_does_not_find_what_the_last_one_left",
            "drill::a_clock_that_is_a_day_ahead_changes_nothing",
        ],
    ),
    (
        "netns",
        &[
            "same_tenant::reaches_itself_on_another_node",
            "cross_tenant::denied_both_ways_between_nodes",
            "rules::a_rule_allows_only_its_port",
            "host::a_workload_on_its_network_is_refused_at_connect",
            "packets::a_spoofed_source_is_dropped",
            "packets::a_vlan_tag_is_dropped",
            "life::a_killed_agent_changes_nothing_for_anyone",
            "life::a_revoked_rule_ends_an_established_connection_both_ways",
        ],
    ),
];

/// A suite that takes longer than this has hung, for each that things take longer in a machine than on the metal.
const LIMIT_S: u64 = 150;

/// Which cases of a suite run.
pub(super) enum Cases {
    /// Those that stand for the others, where running all would take too long.
    Usual,
    /// Every one.
    All,
    /// Those whose names contain a text.
    Containing(String),
}

/// A suite with its program.
#[derive(Clone, Debug)]
pub(super) struct Suite {
    pub(super) name: String,
    pub(super) program: PathBuf,
}

/// A line of cargo's `--message-format=json` about something it built.
#[derive(Deserialize)]
struct Built {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The names of the suites that are there.
pub(super) fn names() -> Vec<String> {
    let is_there = |name: &&&str| root::workspace().join("tests").join(name).join("main.rs").is_file();
    KNOWN.iter().filter(is_there).chain([&COST]).map(|name| (*name).to_owned()).collect()
}

/// Builds suites.
///
/// # Errors
/// There is none of such a name, or it does not build.
pub(super) fn build(names: &[String]) -> Result<Vec<Suite>> {
    let known = self::names();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("no suite is called {unknown}; there are {}", known.join(", "));
    }
    let tests: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != COST).collect();
    let mut built = BTreeMap::new();
    if !tests.is_empty() {
        let mut command = shell::cargo(&["test", "--no-run", "--package", PACKAGE]);
        command.args(tests.iter().flat_map(|name| ["--test", name]));
        built.append(&mut executables(command)?);
    }
    if names.iter().any(|name| name == COST) {
        built.append(&mut executables(shell::cargo(&[
            "build",
            "--package",
            PACKAGE,
            "--bin",
            COST_PROGRAM,
        ]))?);
    }
    let suite = |name: &String| {
        let target = if name == COST { COST_PROGRAM } else { name };
        let program = built.get(target).with_context(|| format!("cargo built no {target}"))?;
        Ok(Suite { name: name.clone(), program: program.clone() })
    };
    names.iter().map(suite).collect()
}

/// Builds, and hands back the programs that came out by the names of their targets.
pub(super) fn executables(mut command: Command) -> Result<BTreeMap<String, PathBuf>> {
    command.args(["--quiet", "--message-format=json-render-diagnostics"]);
    eprintln!("+ {}", shell::line(&command));
    let output = command.stderr(Stdio::inherit()).output().context("cargo")?;
    if !output.status.success() {
        bail!("`{}` failed", shell::line(&command));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let built = text.lines().filter_map(|line| serde_json::from_str::<Built>(line).ok());
    Ok(built.filter_map(|built| Some((built.target?.name, built.executable?))).collect())
}

impl Suite {
    /// The job that runs it: some cases, all of them, or the usual ones.
    pub(super) fn job(&self, cases: &Cases, kernel: Kernel) -> Job {
        let mut argv = vec![format!("{BIN_DIR}/{}", self.name)];
        match cases {
            Cases::Containing(text) if self.name != COST => argv.push(text.clone()),
            Cases::Usual => argv.extend(usual(&self.name).iter().map(|case| (*case).to_owned())),
            Cases::All | Cases::Containing(_) => {}
        }
        Job {
            name: self.name.clone(),
            argv,
            environment: environment(kernel),
            limit_s: LIMIT_S * u64::from(kernel.patience()),
            interactive: false,
        }
    }
}

/// The cases of a suite that run unless all are asked for; empty for a suite of which all do.
pub(super) fn usual(suite: &str) -> &'static [&'static str] {
    USUAL.iter().find(|(name, _)| *name == suite).map_or(&[], |(_, cases)| cases)
}

/// A person at the machine.
pub(super) fn shell_job(kernel: Kernel) -> Job {
    let mut environment = environment(kernel);
    environment.insert("PS1".to_owned(), "vm# ".to_owned());
    environment.insert("TERM".to_owned(), "linux".to_owned());
    let argv = vec!["/bin/sh".to_owned(), "-i".to_owned()];
    Job { name: "shell".to_owned(), argv, environment, limit_s: 24 * 60 * 60, interactive: true }
}

fn environment(kernel: Kernel) -> BTreeMap<String, String> {
    let path = format!("{BIN_DIR}:/usr/sbin:/usr/bin:/sbin:/bin");
    let patience = kernel.patience().to_string();
    let words = [
        ("PATH", path.as_str()),
        ("HOME", "/root"),
        (enforcer_lab::binaries::BIN_DIR, BIN_DIR),
        (enforcer_lab::wait::PATIENCE, &patience),
        (enforcer_lab::guard::DISPOSABLE, "1"),
    ];
    words.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}
