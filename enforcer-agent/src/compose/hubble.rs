//! The Hubble API: its doors, and what its services are given.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use enforcer_core::hubble::peers::Directory;
use tokio::task::JoinSet;
use tracing::{error, info};

use super::{clock, listener, records};
use crate::admin::listen::local::LocalDoor;
use crate::admin::listen::network::NetworkDoor;
use crate::admin::reading;
use crate::config::Settings;
use crate::config::settings::{HubbleSettings, ListenerSettings};
use crate::door::identity::IdentityDoor;
use crate::door::policy::PolicyDoor;
use crate::door::stop::Stop;
use crate::forensics::Forensics;
use crate::hubble::{Hubble, Node};

/// Opens the doors and serves, if that was asked for.
pub(super) async fn open(
    settings: &Settings,
    policy: &PolicyDoor,
    identity: Option<&IdentityDoor>,
    forensics: &Forensics,
    tasks: &mut JoinSet<()>,
    stop: Stop,
) -> anyhow::Result<()> {
    let Some(hubble) = &settings.hubble else { return Ok(()) };
    let local =
        LocalDoor::open(&hubble.socket.path, &hubble.socket.allowed_uids).context("the Hubble socket")?;
    let network = network(settings, hubble, identity).await?;
    let address = network.as_ref().map(NetworkDoor::address).transpose()?;
    let services = Hubble {
        subscribe: records::subscribe(forensics),
        holding: records::holding(forensics, settings.records),
        in_force: policy.watch(),
        node: Node {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: hubble.cluster.as_str().into(),
            directory: directory(settings, hubble, address),
            started: Instant::now(),
        },
        clock: clock::now,
    };
    let (routes, work) = services.open(stop.clone()).await;
    let is_revoked = identity.map(|door| Arc::clone(&door.is_revoked));
    tasks.spawn(work);
    tasks.spawn(async move {
        if let Err(error) = reading::serve(routes, local, network, is_revoked, stop).await {
            error!(%error, "the Hubble server failed; the agent goes on without it");
        }
    });
    info!(socket = %hubble.socket.path.display(), ?address, "Hubble API served");
    Ok(())
}

/// The listener's callers, and its certificate unless there is one of its own: relays expect a name in it.
async fn network(
    settings: &Settings,
    hubble: &HubbleSettings,
    identity: Option<&IdentityDoor>,
) -> anyhow::Result<Option<NetworkDoor>> {
    let (Some(network), Some(callers)) = (&hubble.network, &settings.listener) else { return Ok(None) };
    let own = network.own.clone().or_else(|| callers.own.clone());
    let callers = ListenerSettings { address: network.address, own, ..callers.clone() };
    let mut source = listener::source(&callers, identity)?;
    // Nodes ask their authority, and read nothing.
    source.guests.fleet = None;
    Ok(Some(NetworkDoor::open(network.address, source).await.context("the Hubble network door")?))
}

/// Where this node says that it is: where it was told, else where it listens, unless that is everywhere.
fn directory(settings: &Settings, hubble: &HubbleSettings, address: Option<SocketAddr>) -> Directory {
    let socket = || format!("unix://{}", hubble.socket.path.display());
    let listens = address.map(|address| match address.ip().is_unspecified() {
        true => format!("{}:{}", settings.node_name, address.port()),
        false => address.to_string(),
    });
    Directory {
        own: settings.node_name.clone(),
        own_address: hubble.advertise.clone().or(listens).unwrap_or_else(socket),
        port: address.map(|address| address.port()),
        addresses: hubble.peers.clone(),
    }
}
