//! A wall with one workload and many neighbours elsewhere.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_agent::kernel::EventReader;
use enforcer_core::event::batch::Batch;
use enforcer_core::node::Attachment;
use enforcer_core::policy::change::Change;
use enforcer_proto::v1;

use super::super::frame;
use super::super::runner::{Runner, Seen};
use super::Size;
use crate::crowd;
use crate::ground::Ground;
use crate::site::{Layout, Site};

/// The workload's address.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The service that everybody may ask everybody for.
pub(super) const SERVICE: u16 = 443;
/// A service that nobody may ask for.
pub(super) const CLOSED: u16 = 22;
/// Tenants that have rules about the workload's tenant, from the third on: the second lets it in everywhere.
const PEERS: std::ops::Range<u32> = 2..64;

/// The wall and the programs over its tables.
pub(super) struct Crowded {
    pub(super) size: Size,
    pub(super) runner: Runner,
    interface: u32,
    events: EventReader,
    _site: Site,
}

impl Crowded {
    pub(super) fn open(size: Size) -> Result<Self> {
        let label = format!("packet-{}-{}", size.bindings, size.tenants);
        let interface = interface(&format!("w{}", size.bindings + size.tenants))?;
        let attachment = Attachment { interface: Some(interface), ..Attachment::default() };
        let layout =
            Layout { attachments: BTreeMap::from([("here".into(), attachment)]), ..Layout::default() };
        let mut site = Site::open(Ground::new(&label)?, layout)?;
        site.change(&Change::Snapshot(policy(size)))?;
        let events = site.wall.take_events().context("the event reader is taken")?;
        let runner = Runner::over(&site.ground)?;
        Ok(Self { size, runner, interface, events, _site: site })
    }

    /// Bound addresses of tenants with rules, spread over the table as evenly as these tenants are; the same again
    /// where there are too few.
    pub(super) fn peers(&self, count: usize) -> Vec<Ipv4Addr> {
        let Size { bindings, tenants } = self.size;
        let fitting: Vec<u32> = (0..bindings).filter(|index| PEERS.contains(&(index % tenants))).collect();
        let step = (fitting.len() / count).max(1);
        fitting.iter().step_by(step).cycle().take(count).copied().map(crowd::address).collect()
    }

    /// A frame that the workload sends, or is sent.
    pub(super) fn seen(&self, from: SocketAddrV4, to: SocketAddrV4, flags: u8) -> Seen {
        Seen { interface: self.interface, mark: 0, frame: frame::tcp(from, to, flags) }
    }

    /// Empties the rings, so that the next event finds room.
    pub(super) fn drain(&mut self) {
        while self.events.drain(1024, &mut Batch::default()) == 1024 {}
    }
}

/// The workload's end of a flow.
pub(super) const fn own(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(OWN, port)
}

fn policy(size: Size) -> v1::Snapshot {
    let mut policy = crowd::snapshot(size.tenants, size.bindings);
    for peer in PEERS.start..PEERS.end.min(size.tenants) {
        policy.rules.push(crowd::rule(&format!("to-{peer}"), 0, peer, Some(SERVICE)));
        policy.rules.push(crowd::rule(&format!("from-{peer}"), peer, 0, Some(SERVICE)));
    }
    policy.workloads.push(v1::Workload {
        name: "here".to_owned(),
        tenant: crowd::name(0),
        interface: Some("here".to_owned()),
        addresses: vec![OWN.to_string()],
        ..v1::Workload::default()
    });
    policy
}

fn interface(name: &str) -> Result<u32> {
    let peer = format!("{name}p");
    let status = Command::new("ip")
        .args(["link", "add", name, "type", "veth", "peer", "name", &peer])
        .status()
        .context("run ip: is iproute2 installed?")?;
    ensure!(status.success(), "ip link add {name} failed");
    Ok(nix::net::if_::if_nametoindex(name)?)
}
