//! The nodes on which everybody carries: two with our agents, two with agents that know HBONE alone, two with no
//! agent at all. Client and server are workloads of two tenants on two nodes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::enter::Place;
use enforcer_lab::fleet;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::policy::Policy;
use enforcer_lab::spec::Spec;
use enforcer_lab::wait;
use serde_json::{Value, json};

use super::carrier::Carrier;
use super::mover::{Mover, Proxy};
use super::papers::Papers;
use super::{envoy, haproxy};
use crate::peer::{Asked, Serving, ask};

/// The lab of these benches.
pub(super) const LAB: &str = "benchtunnel";
/// Where every server listens.
const PORT: u16 = 8080;
const LIMIT: Duration = Duration::from_secs(20);

/// The field.
pub(super) struct Field {
    // Dropped before the lab, whose control groups they are in.
    proxies: Vec<(Carrier, Proxy)>,
    _servers: Vec<Serving>,
    _papers: Papers,
    carriers: Vec<Carrier>,
    lab: Lab,
}

impl Field {
    pub(super) fn up(carriers: &[Carrier]) -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(LAB.parse()?, 6, 2, 2)?, Binaries::find()?)?;
        let policy = Policy::of(lab.topology()).with_tunnel("carried", "t1", "t2", &Value::Null);
        let nodes = lab.topology().nodes.clone();
        let hop = |node: &str| carriers.iter().find(|one| one.nodes().0 == node || one.nodes().1 == node);
        for node in &nodes {
            // The first is the authority of all others.
            let is_authority = node.number == 1 && carriers.iter().any(|carrier| carrier.hop().is_some());
            let hop = hop(&node.name).and_then(|carrier| carrier.hop());
            if let Some(hop) = hop.or(is_authority.then_some("native")) {
                fleet::start_node(&mut lab, &policy, node, words(hop))?;
            }
        }
        let mut servers = Vec::new();
        for node in &nodes {
            let server = format!("{}-t2-p1", node.name);
            let at = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT).to_string();
            servers.push(Serving::start(&place_of(lab.topology(), &server)?, &["traffic", &at])?);
        }
        let papers = Papers::make()?;
        let mut proxies = Vec::new();
        for carrier in carriers {
            proxies.extend(pair(&lab, *carrier, &papers)?.into_iter().map(|proxy| (*carrier, proxy)));
        }
        let carriers = carriers.to_vec();
        let mut field = Self { proxies, _servers: servers, _papers: papers, carriers, lab };
        field.is_right()?;
        Ok(field)
    }

    /// Everybody carries, and ours by the hop that is to be measured.
    fn is_right(&mut self) -> Result<()> {
        for carrier in self.carriers.clone() {
            let (client, to) = (self.client(carrier)?, self.service(carrier)?.to_string());
            let mut last = String::new();
            let waited = wait::until_true(&format!("{carrier} carries"), LIMIT, || {
                for (_, proxy) in self.proxies.iter_mut().filter(|(of, _)| *of == carrier) {
                    proxy.is_up()?;
                }
                match ask::<Asked>(&client, &["ask", &to, "1", "1"]) {
                    Ok(_) => Ok(true),
                    Err(error) => {
                        last = format!("{error:#}");
                        Ok(false)
                    }
                }
            });
            waited.with_context(|| last)?;
            if let Some(hop) = carrier.hop() {
                let records =
                    self.lab.ctl(carrier.nodes().0)?.json_lines(&["observe", "--type", "tunnel"])?;
                let is_carried = records.iter().any(|record| record["tunnel"]["hop"] == hop);
                ensure!(is_carried, "{carrier} is not carried by {hop}: this would measure something else");
            }
        }
        Ok(())
    }

    /// Those that take part.
    pub(super) fn carriers(&self) -> &[Carrier] {
        &self.carriers
    }

    /// The workload that asks.
    pub(super) fn client(&self, carrier: Carrier) -> Result<Place> {
        place_of(self.lab.topology(), &format!("{}-t1-p1", carrier.nodes().0))
    }

    /// What it dials.
    pub(super) fn service(&self, carrier: Carrier) -> Result<SocketAddr> {
        match carrier {
            Carrier::Raw | Carrier::Native | Carrier::Hbone => {
                Ok(SocketAddr::new(self.address(carrier.nodes().1)?.into(), PORT))
            }
            Carrier::Haproxy | Carrier::Envoy => Ok(entry(carrier)),
        }
    }

    /// What a client dials that is on the same node as the server.
    pub(super) fn near(&self, carrier: Carrier) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.address(carrier.nodes().0)?.into(), PORT))
    }

    fn address(&self, node: &str) -> Result<Ipv4Addr> {
        server_address(&self.lab, node)
    }

    /// The processes that move its bytes: the client's and the server's.
    pub(super) fn movers(&self, carrier: Carrier) -> Result<Vec<Mover>> {
        if carrier.hop().is_some() {
            let (one, two) = carrier.nodes();
            return [one, two].iter().map(|node| Mover::of(self.lab.agent_process(node)?.pid)).collect();
        }
        let own = self.proxies.iter().filter(|(of, _)| *of == carrier);
        own.map(|(_, proxy)| proxy.mover()).collect()
    }
}

fn server_address(lab: &Lab, node: &str) -> Result<Ipv4Addr> {
    let name = format!("{node}-t2-p1");
    let server = lab.topology().workload(&name).and_then(|workload| workload.v4);
    server.with_context(|| name)
}

/// No bench is to measure a bound that an operator would raise.
fn words(hop: &str) -> Config {
    let limits = json!({
        "connections": 1_000_000,
        "handshakesPerSecond": 1_000_000,
        "bufferedBytes": 16_u64 << 30,
    });
    Config::default().with("tunnel", json!({ "hops": [hop], "limits": limits }))
}

/// Where a client finds the proxy in its own namespace.
const fn entry(carrier: Carrier) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), ports(carrier).0)
}

/// Of the client's proxy, and of the server's.
const fn ports(carrier: Carrier) -> (u16, u16) {
    match carrier {
        Carrier::Envoy => (16_001, 16_443),
        Carrier::Raw | Carrier::Native | Carrier::Hbone | Carrier::Haproxy => (17_001, 17_443),
    }
}

fn pair(lab: &Lab, carrier: Carrier, papers: &Papers) -> Result<Vec<Proxy>> {
    let (client, server) = carrier.nodes();
    let between = SocketAddr::new(server_address(lab, server)?.into(), ports(carrier).1);
    let everywhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), ports(carrier).1);
    let app = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT);
    let client = place_of(lab.topology(), &format!("{client}-t1-p1"))?;
    let server = place_of(lab.topology(), &format!("{server}-t2-p1"))?;
    match carrier {
        Carrier::Raw | Carrier::Native | Carrier::Hbone => Ok(Vec::new()),
        Carrier::Haproxy => Ok(vec![
            haproxy::client(&client, papers, entry(carrier), between)?,
            haproxy::server(&server, papers, everywhere, app)?,
        ]),
        Carrier::Envoy => Ok(vec![
            envoy::client(&client, papers, entry(carrier), between)?,
            envoy::server(&server, papers, everywhere, app)?,
        ]),
    }
}
