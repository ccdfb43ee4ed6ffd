//! One node, two tenants, one GPU that belongs to the first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use enforcer_lab::cgroup;
use enforcer_lab::config::Config;
use enforcer_lab::enter::Place;
use enforcer_lab::mark::Mark;
use enforcer_lab::memory;
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::probe::Probe;
use enforcer_lab::spec::Spec;
use enforcer_tests::net::Net;
use enforcer_tests::runner::Fixture;
use serde_json::{Value, json};

/// The lab of these tests.
pub(crate) const LAB: &str = "tdevice";
/// The node of the lab.
pub(crate) const NODE: &str = "n1";
/// The workload whose tenant was granted the GPU.
pub(crate) const OWNER: &str = "n1-t1-p1";
/// The workload whose tenant was not.
pub(crate) const OTHER: &str = "n1-t2-p1";
/// The control group of the listed host service, below the node's.
pub(crate) const SERVICE: &str = "/device-plugin";
/// Minors of the fixture's device nodes of class `nvidia`; the first is granted.
const MINORS: [u64; 3] = [0, 1, 247];
/// `NV_MAJOR`
const NVIDIA: u64 = 195;

/// The node with its device nodes.
pub(crate) struct Gate {
    net: Net,
    nodes: Vec<PathBuf>,
}

/// The gate's configuration.
pub(crate) fn config(mode: &str) -> Config {
    Config::default().with_gate(mode, &[("device-plugin", SERVICE)])
}

impl Gate {
    pub(crate) fn new() -> Result<Self> {
        let net = Net::new(&Spec::new(LAB.parse()?, 1, 2, 1)?, config("enforce"))?;
        cgroup::make(&format!("{}{SERVICE}", net.lab().node(NODE)?.cgroup))?;
        let node = |minor: u64| net.lab().device_node(&format!("nvidia{minor}"), NVIDIA, minor);
        let nodes = MINORS.into_iter().map(node).collect::<Result<Vec<_>>>()?;
        Ok(Self { net, nodes })
    }

    pub(crate) const fn net(&self) -> &Net {
        &self.net
    }

    pub(crate) const fn net_mut(&mut self) -> &mut Net {
        &mut self.net
    }

    /// The first tenant may open the first GPU.
    pub(crate) fn policy(&self) -> Policy {
        let grant = json!([{ "class": "nvidia", "minors": [0] }]);
        self.net.policy().with_word(Kind::Tenant, "t1", "devices", grant)
    }

    /// The device node of a minor.
    pub(crate) fn gpu(&self, minor: u64) -> Result<&Path> {
        let index = MINORS.iter().position(|known| *known == minor);
        index
            .and_then(|index| self.nodes.get(index))
            .map(PathBuf::as_path)
            .with_context(|| format!("minor {minor}"))
    }

    /// The control group of a path below the node's, made if need be, and a probe in it.
    pub(crate) fn probe_in(&self, below: &str) -> Result<Probe> {
        let node = self.net.lab().node(NODE)?;
        let group = format!("{}{below}", node.cgroup);
        cgroup::make(&group)?;
        let place = Place { netns: node.netns.clone(), cgroup: Some(group) };
        Ok(Probe::new(self.net.lab().binaries().probe.clone(), place))
    }

    /// Opens a GPU from a probe.
    pub(crate) fn open(&self, probe: &Probe, minor: u64) -> Result<Outcome> {
        probe.run(&["open", &self.gpu(minor)?.display().to_string()])
    }

    /// The open passes the gate, which records it.
    pub(crate) fn passes(&self, probe: &Probe, minor: u64, rule: &str) -> Result<()> {
        let mark = self.mark()?;
        let outcome = self.open(probe, minor)?;
        ensure!(outcome == Outcome::NoDriver, "expected to pass the gate, saw {outcome}");
        mark.record("the open", |record| is_device(record, minor, "allow", "") && record["rule"] == rule)?;
        Ok(())
    }

    /// The open is refused, counted and recorded.
    pub(crate) fn refused(&self, probe: &Probe, minor: u64, who: &str, reason: &str) -> Result<()> {
        let mark = self.mark()?;
        let outcome = self.open(probe, minor)?;
        ensure!(outcome == Outcome::NotPermitted, "expected EPERM, saw {outcome}");
        told(&mark, minor, who, reason)
    }

    /// Another agent, with another configuration, whether or not one runs.
    pub(crate) fn restart(&mut self, config: &Config) -> Result<()> {
        let lab = self.net.lab_mut();
        if lab.runs_agent(NODE) {
            lab.take_agent(NODE)?.stop()?;
        }
        lab.start_agent(NODE, config)
    }

    /// Waits until a device in custody is in a state, and whose it is.
    pub(crate) fn arrives(&self, device: &str, wanted: &str, tenant: Option<&str>) -> Result<()> {
        let is_whose = |found: &Value| tenant.is_none_or(|tenant| found["tenants"][0] == tenant);
        memory::arrives(&self.net.ctl(NODE)?, device, wanted, is_whose).map(drop)
    }

    /// Where the node's records stand.
    pub(crate) fn mark(&self) -> Result<Mark> {
        self.net.evidence(NODE)
    }
}

/// A refusal was counted, and recorded with tenant, process and device.
pub(crate) fn told(mark: &Mark, minor: u64, who: &str, reason: &str) -> Result<()> {
    let counted = mark.counted()?;
    let moved =
        counted.sum(|key| key.hook == "device" && key.reason == reason && key.source == who && !key.audited);
    ensure!(moved == 1, "expected one refusal of {who} for {reason}, counted {counted:?}");
    let record = mark.record("the refusal", |record| {
        is_device(record, minor, "deny", reason) && record["source"]["identity"] == who
    })?;
    ensure!(record["rule"] == "no-rule-matched", "{record}");
    ensure!(record["process"]["pid"].as_u64() > Some(0), "no process: {record}");
    ensure!(record["process"]["command"] == "enforcer-probe", "another process: {record}");
    Ok(())
}

/// A record of the device gate about a minor of class `nvidia`.
pub(crate) fn is_device(record: &Value, minor: u64, verdict: &str, reason: &str) -> bool {
    let device = &record["device"];
    record["type"] == "device"
        && record["verdict"] == verdict
        && record["reason"].as_str().unwrap_or_default() == reason
        && device["class"] == "nvidia"
        && device["major"] == NVIDIA
        && device["minor"] == minor
}

impl Fixture for Gate {
    fn before(&mut self) -> Result<()> {
        self.net.before()?;
        self.net.apply(&self.policy())
    }

    fn after(&mut self, reasons: &[&str]) -> Result<()> {
        self.net.after(reasons)
    }
}
