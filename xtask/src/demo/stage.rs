//! The lab of the demo, and the questions that its steps ask.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::cgroup;
use enforcer_lab::config::{Config, workload_socket};
use enforcer_lab::ctl::{Answer, Ctl};
use enforcer_lab::enter::Place;
use enforcer_lab::fleet;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::mark::Mark;
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::probe::{Probe, Running};
use enforcer_lab::spec::Spec;
use serde_json::{Value, json};

/// The port that workloads serve.
pub(crate) const PORT: u16 = 8080;
/// Another one, that no rule mentions.
pub(crate) const OTHER_PORT: u16 = 8081;
/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Traffic: a verb of the probe.
#[derive(Clone, Copy)]
pub(crate) enum How {
    Tcp(u16),
    Udp(u16),
    Tcp6(u16),
    Icmp,
    Icmp6,
}

/// The lab, its servers and the GPU of the first node.
pub(crate) struct Stage {
    // Dropped before the lab, whose control groups they are in.
    servers: Vec<Running>,
    lab: Lab,
    config: Config,
    gpu: PathBuf,
}

impl Stage {
    /// Everything up, no policy yet.
    pub(crate) fn set(name: &str) -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(name.parse()?, 2, 3, 2)?, Binaries::find()?)?;
        let gpu = lab.device_node("nvidia0", 195, 0)?;
        let nodes = lab.topology().nodes.clone();
        for node in &nodes {
            let config = fleet::place_in(&lab, node, Config::default())?;
            lab.start_agent(&node.name, &config)?;
        }
        let first = nodes.first().context("a lab without nodes")?;
        let config = fleet::place_in(&lab, first, Config::default())?;
        let mut stage = Self { servers: Vec::new(), lab, config, gpu };
        for place in ["n1-t1-p1", "n1-t1-p2", "n2-t1-p1", "n1-t2-p1", "n2-t2-p1", "n2-t3-p1"] {
            let server =
                stage.lab.probe(place)?.start(&["serve", &PORT.to_string(), &OTHER_PORT.to_string()])?;
            stage.servers.push(server);
        }
        Ok(stage)
    }

    pub(crate) const fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) const fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// The words of the first node's configuration.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Ends an agent in good order, and starts it with another configuration.
    pub(crate) fn restart_with(&mut self, node: &str, config: Config) -> Result<()> {
        self.lab.take_agent(node)?.stop()?;
        let of = self.lab.node(node)?.clone();
        let config = fleet::place_in(&self.lab, &of, config)?;
        self.lab.start_agent(node, &config)?;
        fleet::settle(&self.lab.ctl(node)?, node)
    }

    pub(crate) const fn gpu(&self) -> &PathBuf {
        &self.gpu
    }

    /// Three tenants: the third is a platform service, the first may open the GPU.
    pub(crate) fn policy(&self) -> Policy {
        let grant = json!([{ "class": "nvidia", "minors": [0] }]);
        Policy::of(self.lab.topology()).with_word(Kind::Tenant, "t1", "devices", grant).with_word(
            Kind::Tenant,
            "t3",
            "platformService",
            json!(true),
        )
    }

    /// The same, with a rule from the first tenant to the platform's port.
    pub(crate) fn policy_with_rule(&self) -> Policy {
        let ports = json!([{ "protocol": "TCP", "port": PORT }, { "protocol": "TCP", "port": 8090 }]);
        self.policy().with_rule("t1-to-platform", "t1", "t3", "allow", &ports)
    }

    pub(crate) fn ctl(&self, node: &str) -> Result<Ctl> {
        self.lab.ctl(node)
    }

    pub(crate) fn probe(&self, place: &str) -> Result<Probe> {
        self.lab.probe(place)
    }

    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        place_of(self.lab.topology(), name)
    }

    /// A place in a control group of its own, below that of a workload or node.
    pub(crate) fn place_below(&self, name: &str, below: &str) -> Result<Place> {
        let mut place = self.place(name)?;
        let above = place.cgroup.as_deref().with_context(|| format!("{name} has no control group"))?;
        let group = format!("{above}/{below}");
        cgroup::make(&group)?;
        place.cgroup = Some(group);
        Ok(place)
    }

    pub(crate) fn probe_below(&self, name: &str, below: &str) -> Result<Probe> {
        Ok(Probe::new(self.lab.binaries().probe.clone(), self.place_below(name, below)?))
    }

    /// Runs `enforcerctl` inside a workload, or on a node beside all of them, at its workload socket.
    pub(crate) fn workload_ctl(&self, place: &str, arguments: &[&str]) -> Result<Answer> {
        let workload = self.lab.topology().workload(place);
        let node = self.lab.node(workload.map_or(place, |workload| &workload.node))?;
        let mut command = self.place(place)?.command(&self.lab.binaries().ctl)?;
        command.args(arguments).arg("--workload-socket").arg(workload_socket(node));
        let output = command.stdin(Stdio::null()).output()?;
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    pub(crate) fn v4(&self, workload: &str) -> Result<std::net::Ipv4Addr> {
        let found = self.lab.topology().workload(workload).and_then(|workload| workload.v4);
        found.with_context(|| format!("{workload} has no address"))
    }

    fn target(&self, to: &str, how: How) -> Result<Vec<String>> {
        let v6 = || {
            let found = self.lab.topology().workload(to).and_then(|workload| workload.v6);
            found.with_context(|| format!("{to} has no address")).map(IpAddr::V6)
        };
        let v4 = || self.v4(to).map(IpAddr::V4);
        let (verb, to) = match how {
            How::Tcp(port) => ("tcp", SocketAddr::new(v4()?, port).to_string()),
            How::Udp(port) => ("udp", SocketAddr::new(v4()?, port).to_string()),
            How::Tcp6(port) => ("tcp", SocketAddr::new(v6()?, port).to_string()),
            How::Icmp => ("echo", v4()?.to_string()),
            How::Icmp6 => ("echo", v6()?.to_string()),
        };
        Ok([verb, &to, "--timeout-ms", "1500"].map(str::to_owned).to_vec())
    }

    /// Tries a flow: `allowed`, or `refused: REASON` as the node that refused it recorded.
    pub(crate) fn flow(&self, from: &str, to: &str, how: How) -> Result<String> {
        let mark = self.mark(from)?;
        let arguments = self.target(to, how)?;
        let outcome = self.probe(from)?.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        told(&mark, &outcome)
    }

    /// Several kinds of traffic at once: one word when all agree, else each on its own.
    pub(crate) fn flows(&self, from: &str, to: &str, all: &[How]) -> Result<String> {
        let mut words = all.iter().map(|how| self.flow(from, to, *how)).collect::<Result<Vec<_>>>()?;
        words.dedup();
        Ok(words.join("; "))
    }

    /// Where the records of a workload's node stand.
    pub(crate) fn mark(&self, workload: &str) -> Result<Mark> {
        let node = self.lab.topology().workload(workload).map(|workload| workload.node.as_str());
        Mark::at(self.ctl(node.unwrap_or(workload))?)
    }
}

/// What an outcome means, and what the record says of it.
pub(crate) fn told(mark: &Mark, outcome: &Outcome) -> Result<String> {
    match outcome {
        Outcome::Ok => Ok("allowed".to_owned()),
        outcome if outcome.is_denied() => {
            let record = mark.record("the refusal", |record| record["verdict"] == "deny")?;
            Ok(format!("refused: {}", word(&record, "reason")))
        }
        other => Ok(other.to_string()),
    }
}

/// A word of a record.
pub(crate) fn word<'a>(record: &'a Value, name: &str) -> &'a str {
    record[name].as_str().unwrap_or("(missing)")
}
