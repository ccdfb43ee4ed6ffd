//! The tunnel room, opened and joined to policy, identities, records and callers; and what an earlier agent left it.

use std::collections::{BTreeMap, BTreeSet};
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
use crate::identity::clock;
use crate::proxy::post::Role;
use crate::proxy::post::handover::{self, Stock, store};
use crate::proxy::{Parts, Room};

/// Below the state directory: where a successor asks for the listeners.
const HANDOVER: &str = "tunnel-handover.sock";

/// Listeners of an earlier agent, with the connections that wait in them.
pub(super) struct Inherited {
    pub(super) stock: Stock,
    /// Where they take up connections: the first policy that is compiled goes on sending them there.
    pub(super) addresses: BTreeSet<IpAddr>,
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
    let intercepts = handed.iter().filter(|one| one.spot.role == Role::Intercept);
    let addresses = intercepts.map(|one| one.spot.address).collect();
    Ok(Inherited { stock: Stock::new(handed), addresses, from_predecessor })
}

/// Where the inherited listeners of a workload with these addresses stand, if there are any.
pub(super) fn inherited_end<'a>(
    inherited: &BTreeSet<IpAddr>,
    addresses: impl IntoIterator<Item = &'a IpAddr>,
) -> Option<TunnelEnd> {
    let mut end = TunnelEnd::default();
    for address in addresses.into_iter().filter(|address| inherited.contains(address)) {
        match address {
            IpAddr::V4(v4) => _ = end.v4.get_or_insert(*v4),
            IpAddr::V6(v6) => _ = end.v6.get_or_insert(*v6),
        }
    }
    (end != TunnelEnd::default()).then_some(end)
}

fn path(settings: &Settings) -> PathBuf {
    settings.state_directory.join(HANDOVER)
}

/// What the room is joined to.
pub(super) struct Joints<'a> {
    pub(super) policy: &'a PolicyDoor,
    pub(super) identity: IdentityDoor,
    pub(super) maker: Maker,
    pub(super) stock: Stock,
    /// Where listeners stand is told here.
    pub(super) ends: watch::Sender<Arc<BTreeMap<Name, TunnelEnd>>>,
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
    let Joints { policy, identity, maker, stock, ends, succeeded, stop } = joints;
    let (commands, inbox) = mpsc::channel(WAITING_MAX);
    let room = Room::open(Parts {
        node: settings.node_name.clone(),
        settings: tunnel.clone(),
        cgroup_root: settings.cgroup_root.clone(),
        handover: path(settings),
        stock,
        policy: policy.watch(),
        identity,
        ends,
        commands: inbox,
        tell: Arc::new(move |record| maker.tell(record)),
        clock: clock::system(),
        succeeded,
        stop,
    });
    Ok((TunnelDoor { commands }, room.context("cannot start the tunnel")?))
}
