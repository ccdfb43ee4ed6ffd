//! The tunnel room, opened and joined to policy, identities, records and callers; and what an earlier agent left it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use enforcer_core::node::TunnelEnd;
use enforcer_core::policy::model::Name;
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use crate::config::Settings;
use crate::config::settings::TunnelSettings;
use crate::door::identity::IdentityDoor;
use crate::door::policy::PolicyDoor;
use crate::door::stop::Stop;
use crate::door::tunnel::{TunnelDoor, WAITING_MAX};
use crate::forensics::Maker;
use crate::proxy::post::Role;
use crate::proxy::post::handover::{self, Handed, Stock, store};
use crate::proxy::{Parts, Room};

/// Below the state directory: where a successor asks for the listeners.
const HANDOVER: &str = "tunnel-handover.sock";

/// Listeners of an earlier agent, with the connections that wait in them.
pub(super) struct Inherited {
    pub(super) stock: Stock,
    /// Where they stand, so that the first policy that is compiled goes on sending connections to them.
    pub(super) ends: watch::Sender<Arc<BTreeMap<Name, TunnelEnd>>>,
    /// An agent that still ran gave them, and is on its way out.
    pub(super) from_predecessor: bool,
}

/// Takes what an agent that still runs, or the service manager, has kept.
pub(super) fn inherit(settings: &Settings) -> anyhow::Result<Inherited> {
    let mut handed = Vec::new();
    let mut from_predecessor = false;
    if settings.tunnel.is_some() {
        handed = store::inherited();
        let runtime = Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        match runtime.block_on(handover::take(&path(settings))) {
            Ok(taken) => {
                from_predecessor = !taken.is_empty();
                handed.extend(taken);
            }
            Err(error) => warn!(%error, "an agent that seems to run hands nothing over"),
        }
    }
    if !handed.is_empty() {
        info!(listeners = handed.len(), from_predecessor, "took over listeners of the tunnel");
    }
    let ends = watch::Sender::new(Arc::new(ends(&handed)));
    Ok(Inherited { stock: Stock::new(handed), ends, from_predecessor })
}

fn ends(handed: &[Handed]) -> BTreeMap<Name, TunnelEnd> {
    let mut ends: BTreeMap<Name, TunnelEnd> = BTreeMap::new();
    for Handed { workload, role, address, .. } in handed {
        let end = ends.entry(Arc::clone(workload)).or_default();
        match (role, address) {
            (Role::Intercept, IpAddr::V4(v4)) => end.v4 = Some(*v4),
            (Role::Intercept, IpAddr::V6(v6)) => end.v6 = Some(*v6),
            (Role::Tunnel, _) => {}
        }
    }
    ends
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_directory.join(HANDOVER)
}

/// What the room is joined to.
pub(super) struct Joints<'a> {
    pub(super) policy: &'a PolicyDoor,
    pub(super) identity: IdentityDoor,
    pub(super) maker: Maker,
    pub(super) inherited: Inherited,
    /// Told when a successor has taken over.
    pub(super) succeeded: Arc<Notify>,
    pub(super) stop: Stop,
}

/// Opens the room.
pub(super) fn open(
    settings: &Settings,
    tunnel: &TunnelSettings,
    joints: Joints<'_>,
) -> anyhow::Result<(TunnelDoor, Room)> {
    let Joints { policy, identity, maker, inherited, succeeded, stop } = joints;
    let (commands, inbox) = mpsc::channel(WAITING_MAX);
    let room = Room::open(Parts {
        node: settings.node_name.clone(),
        settings: tunnel.clone(),
        cgroup_root: settings.cgroup_root.clone(),
        handover: path(settings),
        stock: inherited.stock,
        policy: policy.watch(),
        identity,
        ends: inherited.ends,
        commands: inbox,
        tell: Arc::new(move |record| maker.tell(record)),
        succeeded,
        stop,
    });
    Ok((TunnelDoor { commands }, room.context("cannot start the tunnel")?))
}
