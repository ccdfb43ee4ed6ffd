//! The lab as the flow and device tests use it: servers everywhere, a base policy, and questions like "does
//! this flow die, and does the record say why?".

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::ctl::Ctl;
use enforcer_lab::enter::Place;
use enforcer_lab::evidence::{self, Counters, NONE};
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::mark::{Mark, Refusal};
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::Policy;
use enforcer_lab::probe::{Probe, Running};
use enforcer_lab::spec::Spec;
use enforcer_lab::wait;

use crate::runner::Fixture;

/// Ports that every workload with an address of its own serves.
pub const POD_PORTS: [u16; 4] = [8080, 8081, 8082, 8083];
/// The port that a node itself serves.
pub const HOST_PORT: u16 = 9000;
/// Added to a tenant's number: the port of its workload on the node's network.
pub const HOST_NETWORK_PORT: u16 = 9100;

/// How long a record may take from the kernel to `observe`.
const RECORD_LIMIT: Duration = Duration::from_secs(5);
/// How long a flow may take to live, before it counts as dead.
const PATIENCE: Duration = Duration::from_millis(400);

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// TCP over IPv4, to a port.
    Tcp(u16),
    /// UDP over IPv4, to a port.
    Udp(u16),
    /// ICMP echo.
    Icmp,
    /// TCP over IPv6, to a port.
    Tcp6(u16),
    /// UDP over IPv6, to a port.
    Udp6(u16),
    /// ICMPv6 echo.
    Icmp6,
}

impl How {
    /// One of each, to a port that is served.
    pub const EACH: [Self; 6] =
        [Self::Tcp(8080), Self::Udp(8080), Self::Icmp, Self::Tcp6(8080), Self::Udp6(8080), Self::Icmp6];

    const fn is_v6(self) -> bool {
        matches!(self, Self::Tcp6(_) | Self::Udp6(_) | Self::Icmp6)
    }

    const fn port(self) -> Option<u16> {
        match self {
            Self::Tcp(port) | Self::Udp(port) | Self::Tcp6(port) | Self::Udp6(port) => Some(port),
            Self::Icmp | Self::Icmp6 => None,
        }
    }

    const fn verb(self) -> &'static str {
        match self {
            Self::Tcp(_) | Self::Tcp6(_) => "tcp",
            Self::Udp(_) | Self::Udp6(_) => "udp",
            Self::Icmp | Self::Icmp6 => "echo",
        }
    }

    /// The word in records.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Tcp(_) | Self::Tcp6(_) => "TCP",
            Self::Udp(_) | Self::Udp6(_) => "UDP",
            Self::Icmp => "ICMP",
            Self::Icmp6 => "ICMPv6",
        }
    }
}

/// The lab with its servers.
pub struct Net {
    // Dropped before the lab, whose control groups they are in.
    servers: Vec<Running>,
    lab: Lab,
    config: Config,
    starting: BTreeMap<String, Counters>,
    /// Refusals were counted: connections may have been cut off, and their ends would send into the next case.
    cut: bool,
    logged: BTreeMap<String, usize>,
}

impl Net {
    /// A lab with servers everywhere; agents are started by the first case.
    ///
    /// # Errors
    /// The lab does not come up.
    pub fn new(spec: &Spec, config: Config) -> Result<Self> {
        let lab = Lab::up(spec, Binaries::find()?)?;
        let mut net = Self {
            servers: Vec::new(),
            lab,
            config,
            starting: BTreeMap::new(),
            cut: false,
            logged: BTreeMap::new(),
        };
        net.serve()?;
        Ok(net)
    }

    /// Servers everywhere, in place of those there were.
    fn serve(&mut self) -> Result<()> {
        self.servers.clear();
        let topology = self.lab.topology().clone();
        for workload in &topology.workloads {
            let ports: Vec<String> = if workload.host_network {
                let number: u16 = workload.tenant.trim_start_matches('t').parse()?;
                vec![(HOST_NETWORK_PORT + number).to_string()]
            } else {
                POD_PORTS.map(|port| port.to_string()).to_vec()
            };
            self.serve_at(&workload.name, &ports)?;
        }
        for node in &topology.nodes {
            self.serve_at(&node.name, &[HOST_PORT.to_string()])?;
        }
        self.serve_at("world", &[POD_PORTS[0].to_string()])?;
        self.servers.iter().try_for_each(Running::ready)
    }

    fn serve_at(&mut self, place: &str, ports: &[String]) -> Result<()> {
        let mut arguments = vec!["serve"];
        arguments.extend(ports.iter().map(String::as_str));
        self.servers.push(self.lab.probe(place)?.spawn(&arguments)?);
        Ok(())
    }

    /// The lab itself.
    #[must_use]
    pub const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The lab itself, to start and stop agents.
    pub const fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// The words of the agents' configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Tenants and workloads, no rule.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy::of(self.lab.topology())
    }

    /// Applies a policy on every node.
    ///
    /// # Errors
    /// A node refused.
    pub fn apply(&self, policy: &Policy) -> Result<()> {
        self.lab.apply(policy)
    }

    /// `enforcerctl` for a node.
    ///
    /// # Errors
    /// There is no such node.
    pub fn ctl(&self, node: &str) -> Result<Ctl> {
        self.lab.ctl(node)
    }

    /// The address of a workload, a node or the world.
    ///
    /// # Errors
    /// There is no such place.
    pub fn address(&self, place: &str, v6: bool) -> Result<IpAddr> {
        let topology = self.lab.topology();
        let pair = match (topology.workload(place), topology.node(place)) {
            (Some(workload), _) if workload.host_network => return self.address(&workload.node, v6),
            (Some(workload), _) => (workload.v4, workload.v6),
            (None, Some(node)) => (Some(node.v4), Some(node.v6)),
            (None, None) if place == "world" => (topology.world.v4.first().copied(), Some(topology.world.v6)),
            (None, None) => bail!("no place is called {place}"),
        };
        let address = if v6 { pair.1.map(IpAddr::V6) } else { pair.0.map(IpAddr::V4) };
        address.with_context(|| format!("{place} has no such address"))
    }

    /// The probe inside a workload's namespace, but in no control group of the node: what it sends is seen by
    /// the interface hooks only, as from a socket that the socket hooks never saw.
    ///
    /// # Errors
    /// There is no such workload.
    pub fn outsider(&self, workload: &str) -> Result<Probe> {
        let inside = place_of(self.lab.topology(), workload)?;
        let cgroup = Some(format!("{}/world", self.lab.topology().cgroup()));
        Ok(Probe::new(self.lab.binaries().probe.clone(), Place { netns: inside.netns, cgroup }))
    }

    /// Tries a flow from a probe.
    ///
    /// # Errors
    /// It could not be tried.
    pub fn attempt(&self, probe: &Probe, to: &str, how: How) -> Result<Outcome> {
        self.attempt_address(probe, self.address(to, how.is_v6())?, how)
    }

    /// Tries a flow from a probe to an address.
    ///
    /// # Errors
    /// It could not be tried.
    pub fn attempt_address(&self, probe: &Probe, to: IpAddr, how: How) -> Result<Outcome> {
        let to = match how.port() {
            Some(port) => std::net::SocketAddr::new(to, port).to_string(),
            None => to.to_string(),
        };
        let patience = wait::patient(PATIENCE).as_millis().to_string();
        probe.run(&[how.verb(), &to, "--timeout-ms", &patience])
    }

    /// The flow must live.
    ///
    /// # Errors
    /// It does not.
    pub fn allowed(&self, from: &str, to: &str, how: How) -> Result<()> {
        // A busy machine may need longer than the patience that suits refusals.
        wait::until_true(&format!("{from} reaches {to} by {how:?}"), RECORD_LIMIT, || {
            Ok(self.attempt(&self.lab.probe(from)?, to, how)? == Outcome::Ok)
        })
    }

    /// The flow must die, on the socket hooks' word and on the interface hooks' word, and say why.
    ///
    /// # Errors
    /// It lives, or says something else.
    pub fn denied(&self, from: &str, to: &str, how: How, refusal: Refusal<'_>) -> Result<()> {
        for probe in [self.lab.probe(from)?, self.outsider(from)?] {
            self.denied_by(&probe, self.node_of(from)?, to, how, refusal)?;
        }
        Ok(())
    }

    /// The flow of a probe must die, and the node must count and record it.
    ///
    /// # Errors
    /// It lives, or the node says something else.
    pub fn denied_by(
        &self,
        probe: &Probe,
        node: &str,
        to: &str,
        how: How,
        refusal: Refusal<'_>,
    ) -> Result<()> {
        let to_address = self.address(to, how.is_v6())?;
        let evidence = self.evidence(node)?;
        let outcome = self.attempt_address(probe, to_address, how)?;
        ensure!(outcome.is_denied(), "{to} by {how:?}: expected a refusal, saw {outcome}");
        evidence.tells(refusal, |record| {
            record["protocol"] == how.protocol()
                && record["destination"]["address"] == to_address.to_string().as_str()
        })
    }

    /// Remembers where a node's counters and records stand.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn evidence(&self, node: &str) -> Result<Mark> {
        Mark::at(self.ctl(node)?)
    }

    /// The node of a workload, or the node itself.
    ///
    /// # Errors
    /// There is no such place.
    pub fn node_of<'a>(&'a self, place: &'a str) -> Result<&'a str> {
        let topology = self.lab.topology();
        match topology.workload(place) {
            Some(workload) => Ok(&workload.node),
            None => topology.node(place).map(|node| node.name.as_str()).with_context(|| place.to_owned()),
        }
    }

    fn node_names(&self) -> Vec<String> {
        self.lab.topology().nodes.iter().map(|node| node.name.clone()).collect()
    }
}

impl Fixture for Net {
    fn before(&mut self) -> Result<()> {
        // Until a case has ended well, the next one assumes that it left something behind.
        if std::mem::replace(&mut self.cut, true) {
            self.serve()?;
        }
        let policy = self.policy();
        for name in self.node_names() {
            if !self.lab.runs_agent(&name) {
                let config = self.config.clone();
                self.lab.start_agent(&name, &config)?;
            }
        }
        self.lab.apply(&policy)?;
        for name in self.node_names() {
            self.starting.insert(name.clone(), Counters::read(&self.ctl(&name)?)?);
            self.logged.insert(name.clone(), evidence::errors_logged(self.lab.node(&name)?)?.len());
        }
        Ok(())
    }

    fn after(&mut self, reasons: &[&str]) -> Result<()> {
        let mut refused = 0;
        for name in self.node_names() {
            let errors = evidence::errors_logged(self.lab.node(&name)?)?;
            let known = self.logged.get(&name).copied().unwrap_or_default();
            if let Some(error) = errors.get(known) {
                bail!("the agent of {name} logged: {error}");
            }
            if !self.lab.runs_agent(&name) {
                continue;
            }
            let before = self.starting.get(&name).cloned().unwrap_or_default();
            let grown = Counters::read(&self.ctl(&name)?)?.since(&before);
            refused += grown.sum(|key| key.reason != NONE);
            let foreign =
                grown.0.keys().find(|key| key.reason != NONE && !reasons.contains(&key.reason.as_str()));
            if let Some(key) = foreign {
                let records =
                    self.ctl(&name)?.run(&["observe", "--last", "3", "--reason", &key.reason], "")?;
                bail!(
                    "{name} counted a drop for a reason that this case does not expect: {key:?}\n{records}"
                );
            }
        }
        self.cut = refused > 0;
        Ok(())
    }
}
