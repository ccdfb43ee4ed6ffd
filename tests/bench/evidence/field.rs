//! Two nodes alike, each with an agent and two tenants' workloads: one records everything, the other nothing that it may leave
//! out.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::ctl::Ctl;
use enforcer_lab::enter::Place;
use enforcer_lab::fleet;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::policy::Policy;
use enforcer_lab::probe::Probe;
use enforcer_lab::spec::Spec;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// The lab of these benches.
pub(super) const LAB: &str = "benchevid";
/// The node that records, and the one that does not.
pub(super) const RECORDING: &str = "n1";
pub(super) const SILENT: &str = "n2";
/// Where every server listens.
const PORT: u16 = 5201;

/// The field.
pub(super) struct Field {
    lab: Lab,
}

impl Field {
    pub(super) fn up() -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(LAB.parse()?, 2, 2, 2)?, Binaries::find()?)?;
        let ports = json!([{ "protocol": "TCP", "port": PORT }]);
        let policy = Policy::of(lab.topology()).with_rule("measured", "t1", "t2", "allow", &ports);
        fleet::start(&mut lab, &policy, |node| words(node.name == RECORDING))?;
        Ok(Self { lab })
    }

    pub(super) fn ctl(&self, node: &str) -> Result<Ctl> {
        self.lab.ctl(node)
    }

    pub(super) fn agent(&self, node: &str) -> Result<i32> {
        Ok(self.lab.agent_process(node)?.pid)
    }

    pub(super) fn client(&self, node: &str) -> Result<Place> {
        place_of(self.lab.topology(), &format!("{node}-t1-p1"))
    }

    pub(super) fn server(&self, node: &str) -> Result<Place> {
        place_of(self.lab.topology(), &format!("{node}-t2-p1"))
    }

    pub(super) fn service(&self, node: &str) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.address(&format!("{node}-t2-p1"))?.into(), PORT))
    }

    /// A workload whose packets to the first tenant's are refused, and where that one is.
    pub(super) fn refused(&self) -> Result<(Probe, SocketAddr)> {
        let to = SocketAddr::new(self.address(&format!("{RECORDING}-t1-p1"))?.into(), 9);
        Ok((self.lab.probe(&format!("{RECORDING}-t2-p1"))?, to))
    }

    fn address(&self, workload: &str) -> Result<Ipv4Addr> {
        let found = self.lab.topology().workload(workload).and_then(|workload| workload.v4);
        found.with_context(|| workload.to_owned())
    }

    /// Every thread of an agent on the first core alone.
    pub(super) fn hold_to_one_core(&self, node: &str) -> Result<()> {
        let mut one = CpuSet::new();
        one.set(0)?;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.agent(node)?))? {
            let thread = thread?.file_name();
            let thread =
                thread.to_str().and_then(|name| name.parse().ok()).context("a thread without a number")?;
            sched_setaffinity(Pid::from_raw(thread), &one).context("hold the agent to one core")?;
        }
        Ok(())
    }
}

/// Bounds that an operator would set are not what is measured.
fn words(is_recording: bool) -> Config {
    let trace = if is_recording {
        json!({ "eventsPerSecond": 0, "samplesPerSecond": 0, "processesPerSecond": 0 })
    } else {
        json!({ "enabled": false, "aggregation": "none", "packetBytes": 0 })
    };
    Config::default().with("trace", trace).with("log", json!({ "format": "json", "filter": "warn" }))
}

/// Processor seconds that a process has used.
pub(super) fn cpu_seconds(pid: i32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks =
        |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime of proc(5), behind the name and counted from the state; a tick is a hundredth on every Linux.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// Memory that a process holds, in MiB.
pub(super) fn resident_mib(pid: i32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// A number of an answer.
pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_default()
}
