//! Three nodes alike, each with two workloads of different tenants and one service between them: with the walls,
//! with nothing, and with the same policy as nftables sets.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::enter::Place;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::policy::Policy;
use enforcer_lab::spec::Spec;
use enforcer_lab::topology::Workload;
use serde_json::json;

/// The lab of these nodes.
pub(super) const LAB: &str = "benchtrio";
const PORT: u16 = 5201;
const WALLED: &str = "n1";
const BARE: &str = "n2";
const FILTERED: &str = "n3";

/// What stands between the two workloads of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// The walls, with an agent that reads their records.
    Walls,
    /// Plain forwarding.
    Nothing,
    /// nftables with connection tracking.
    Nftables,
}

impl Between {
    pub(super) const ALL: [Self; 3] = [Self::Walls, Self::Nothing, Self::Nftables];

    const fn node(self) -> &'static str {
        match self {
            Self::Walls => WALLED,
            Self::Nothing => BARE,
            Self::Nftables => FILTERED,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Walls => 0,
            Self::Nothing => 1,
            Self::Nftables => 2,
        }
    }
}

/// The three nodes.
pub(super) struct Trio {
    lab: Lab,
}

impl Trio {
    pub(super) fn up() -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(LAB.parse()?, 3, 2, 1)?, Binaries::find()?)?;
        lab.start_agent(WALLED, &Config::default())?;
        let ports = json!([{ "protocol": "TCP", "port": PORT, "endPort": PORT + 9 }]);
        let policy = Policy::of(lab.topology()).with_rule("to-service", "t1", "t2", "allow", &ports);
        lab.apply_on(lab.node(WALLED)?, &policy)?;
        let trio = Self { lab };
        trio.filter()?;
        Ok(trio)
    }

    /// The workload that asks.
    pub(super) fn client(&self, between: Between) -> Result<Place> {
        place_of(self.lab.topology(), &format!("{}-t1-p1", between.node()))
    }

    /// The workload that serves.
    pub(super) fn server(&self, between: Between) -> Result<Place> {
        place_of(self.lab.topology(), &format!("{}-t2-p1", between.node()))
    }

    /// Where it serves.
    pub(super) fn service(&self, between: Between) -> Result<SocketAddr> {
        let server = self.workload(&format!("{}-t2-p1", between.node()))?;
        Ok(SocketAddr::new(server.v4.context("a workload with an address")?.into(), PORT))
    }

    fn workload(&self, name: &str) -> Result<&Workload> {
        self.lab.topology().workload(name).with_context(|| name.to_owned())
    }

    /// Own source addresses only, replies by connection tracking, and a set of who may ask whom for what.
    fn filter(&self) -> Result<()> {
        let (client, server) = (self.workload("n3-t1-p1")?, self.workload("n3-t2-p1")?);
        let (from, to) = (client.v4.context("address")?, server.v4.context("address")?);
        let (from_if, to_if) =
            (client.interface.as_deref().unwrap_or(""), server.interface.as_deref().unwrap_or(""));
        let last = PORT + 9;
        let rules = format!(
            "table inet bench {{
                set own {{ type ifname . ipv4_addr; elements = {{ {from_if} . {from}, {to_if} . {to} }} }}
                set allowed {{
                    type ipv4_addr . ipv4_addr . inet_service; flags interval;
                    elements = {{ {from} . {to} . {PORT}-{last} }}
                }}
                chain forward {{
                    type filter hook forward priority filter; policy drop;
                    iifname . ip saddr != @own counter drop
                    ct state established,related counter accept
                    ip saddr . ip daddr . tcp dport @allowed counter accept
                }}
            }}\n"
        );
        let place = place_of(self.lab.topology(), FILTERED)?;
        let mut command = place.command("nft")?;
        nft(command.args(["-f", "-"]), &rules)
    }
}

fn nft(command: &mut Command, rules: &str) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("run nft: install the package nftables to compare with it")?;
    child.stdin.take().context("standard input")?.write_all(rules.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("nft: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
