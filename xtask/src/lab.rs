//! `cargo xtask lab up | exec | down`.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::fleet;
use enforcer_lab::lab::{self, Lab};
use enforcer_lab::policy::Policy;
use enforcer_lab::record::Record;
use enforcer_lab::spec::{LabName, Spec};

use crate::build;

/// Nodes and workloads on this one machine, with one agent per node.
#[derive(Args)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the lab, start the agents, apply a policy of tenants and workloads without any rule.
    Up {
        /// Nodes.
        #[arg(long, default_value_t = 2)]
        nodes: u8,
        /// Tenants: t1, t2, ...
        #[arg(long, default_value_t = 2)]
        tenants: u8,
        /// Workloads of each tenant on each node, beside one that uses the node's network.
        #[arg(long, default_value_t = 1)]
        pods: u8,
        /// Print names, addresses, control groups and sockets as JSON.
        #[arg(long)]
        json: bool,
        /// Several labs may be up at once.
        #[arg(long, default_value = "lab")]
        name: LabName,
    },
    /// Run a command in a workload (n1-t1-p1), on a node (n1) or in the outside world (world).
    Exec {
        /// Which lab.
        #[arg(long, default_value = "lab")]
        name: LabName,
        /// A workload, a node, or `world`.
        place: String,
        /// What to run there.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Take the lab down. Nothing stays behind; fine when there is none.
    Down {
        /// Which lab.
        #[arg(long, default_value = "lab")]
        name: LabName,
    },
}

impl LabArgs {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        match &self.verb {
            Verb::Up { nodes, tenants, pods, json, name } => {
                up(&Spec::new(name.clone(), *nodes, *tenants, *pods)?, *json)
            }
            Verb::Exec { name, place, command } => exec(name, place, command),
            Verb::Down { name } => down(name),
        }
    }
}

fn up(spec: &Spec, json: bool) -> Result<ExitCode> {
    build::programs()?;
    let mut lab = Lab::up(spec, Binaries::find()?)?;
    let policy = Policy::of(lab.topology());
    fleet::start(&mut lab, &policy, |_| Config::default())?;
    let record = lab.stay()?;
    if json {
        println!("{}", serde_json::to_string_pretty(&record)?);
    } else {
        show(&record);
    }
    Ok(ExitCode::SUCCESS)
}

fn show(record: &Record) {
    let topology = &record.topology;
    for node in &topology.nodes {
        println!("{:<14} {:<16} {:<28} {}", node.name, node.v4, node.v6, node.socket.display());
    }
    for workload in &topology.workloads {
        let v4 = workload.v4.map_or_else(|| "(the node's)".to_owned(), |address| address.to_string());
        let v6 = workload.v6.map_or_else(String::new, |address| address.to_string());
        println!("{:<14} {v4:<16} {v6:<28} {}", workload.name, workload.tenant);
    }
    for address in &topology.world.v4 {
        println!("{:<14} {address}", "world");
    }
    let name = &topology.spec.name;
    println!(
        "\ncargo xtask lab exec --name {name} n1-t1-p1 -- ip address\ncargo xtask lab down --name {name}"
    );
}

fn exec(name: &LabName, place: &str, command: &[String]) -> Result<ExitCode> {
    let record = Record::load(name)?.with_context(|| format!("no lab {name} is up"))?;
    let Some((program, arguments)) = command.split_first() else { bail!("which command?") };
    let mut command = lab::place_of(&record.topology, place)?.command(program)?;
    Err(command.args(arguments).exec()).with_context(|| program.clone())
}

fn down(name: &LabName) -> Result<ExitCode> {
    if Record::load(name)?.is_none() {
        println!("no lab {name} is up");
        return Ok(ExitCode::SUCCESS);
    }
    if Binaries::find().is_err() {
        build::programs()?;
    }
    lab::down_by_name(name, &Binaries::find()?.agent)?;
    println!("lab {name} is down");
    Ok(ExitCode::SUCCESS)
}
