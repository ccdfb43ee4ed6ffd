//! Flows as messages.

use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use enforcer_core::policy::model::{Holder, Name};
use enforcer_core::proxy::authorize::{Court, Parties, Permit};
use enforcer_proto::v1;

use super::flow::{Flow, Met};
use super::{Entry, Registry, State};
use crate::config::settings::TunnelLimits;
use crate::proxy::budget::{Over, Use};

impl Registry {
    /// What is carried now, of one tenant or of all. Where listeners stand is for others to say.
    #[must_use]
    pub fn list(&self, tenant: Option<&Name>) -> v1::ListTunnelsResponse {
        let inner = self.inner();
        let concerns = |tunnel: &v1::Tunnel| {
            let mut ends = [&tunnel.source, &tunnel.destination].into_iter().flatten();
            tenant.is_none_or(|tenant| ends.any(|end| *end.identity == **tenant))
        };
        let tunnels = inner.flows.iter().map(|(id, entry)| tunnel(*id, entry, &inner.court)).filter(concerns);
        let tunnels = tunnels.collect();
        drop(inner);
        let budgets = self.budgets().list().into_iter();
        let limits = self.budgets().limits();
        let wanted = budgets.filter(|(name, _)| tenant.is_none_or(|tenant| name == tenant));
        let budgets = wanted.map(|(name, used)| budget(&name, used, limits)).collect();
        v1::ListTunnelsResponse { tunnels, budgets, ends: Vec::new() }
    }
}

pub(super) fn tunnel(id: u64, entry: &Entry, court: &Court) -> v1::Tunnel {
    let Entry { flow, state, live, deadline } = entry;
    let permit = state.permit();
    let (source, destination) = identities(flow, permit);
    let end = |identity: String, address: SocketAddr| {
        endpoint(identity, workload_at(court, address, &flow.parties), address)
    };
    let event = match state {
        State::Registered | State::HalfOpen(_) => "opening",
        State::Carried(_) => "opened",
    };
    let [bytes_forward, bytes_back] = live.bytes();
    let ended = *live.end.borrow();
    v1::Tunnel {
        id,
        source: Some(end(source, flow.parties.source())),
        destination: Some(end(destination, flow.parties.destination())),
        rule: permit.map(|permit| permit.rule_name().to_string()).unwrap_or_default(),
        facts: Some(v1::TunnelFacts {
            event: event.to_owned(),
            bytes_forward,
            bytes_back,
            end: ended.map(|reason| reason.word().to_owned()).unwrap_or_default(),
            ..facts(flow)
        }),
        opened: Some(timestamp(flow.since)),
        until: deadline.map(timestamp),
    }
}

fn facts(flow: &Flow) -> v1::TunnelFacts {
    let own = (flow.own.id.to_string(), flow.own.serial.clone());
    let peer = flow.met.as_ref().map(|met| (met.peer.id.to_string(), met.peer.serial.clone()));
    let peer = peer.unwrap_or_default();
    let ((source_id, source_serial), (destination_id, destination_serial)) = match flow.parties {
        Parties::Outbound(_) => (own, peer),
        Parties::Inbound(_) => (peer, own),
    };
    let has = |what: fn(&Met) -> bool| flow.met.as_ref().is_some_and(what);
    v1::TunnelFacts {
        direction: flow.direction().word().to_owned(),
        hop: flow.met.as_ref().map(|met| met.hop.word().to_owned()).unwrap_or_default(),
        source_id,
        source_serial,
        destination_id,
        destination_serial,
        trace_id: flow.trace.to_string(),
        resumed: has(|met| met.resumed),
        reused: has(|met| met.reused),
        cookie: flow.cookie,
        ..v1::TunnelFacts::default()
    }
}

/// The tenants at both ends: as the permit says, or else as certificates do.
fn identities(flow: &Flow, permit: Option<&Permit>) -> (String, String) {
    let own = flow.tenant().to_string();
    let certified = flow.met.as_ref().map(|met| met.tenant.to_string()).unwrap_or_default();
    match (permit, &flow.parties) {
        (Some(permit), _) => (permit.source().to_string(), permit.destination().to_string()),
        (None, Parties::Outbound(_)) => (own, certified),
        (None, Parties::Inbound(_)) => (certified, own),
    }
}

/// The workload of this node at its own end, whatever its address; at the other, whose address it is.
fn workload_at(court: &Court, address: SocketAddr, parties: &Parties) -> String {
    let own = match parties {
        Parties::Outbound(outbound) => (address == outbound.source).then_some(&outbound.workload),
        Parties::Inbound(inbound) => (address == inbound.destination).then_some(&inbound.workload),
    };
    let held = || match court.policy().index.holder.get(&address.ip().to_canonical()) {
        Some(Holder::Workload(name)) => Some(name),
        Some(Holder::Binding) | None => None,
    };
    own.or_else(held).map(Name::to_string).unwrap_or_default()
}

fn endpoint(identity: String, workload: String, address: SocketAddr) -> v1::Endpoint {
    v1::Endpoint {
        identity,
        workload,
        address: address.ip().to_canonical().to_string(),
        port: address.port().into(),
        ..Default::default()
    }
}

fn budget(tenant: &Name, used: Use, limits: &TunnelLimits) -> v1::TunnelBudget {
    let Use { connections, idle, buffered_bytes, refused } = used;
    let refused = Over::ALL.iter().map(|over| over.word().to_owned()).zip(refused);
    v1::TunnelBudget {
        tenant: tenant.to_string(),
        connections,
        connections_max: limits.connections,
        idle,
        buffered_bytes,
        buffered_bytes_max: limits.buffered_bytes,
        handshakes_per_second_max: limits.handshakes_per_second.into(),
        refused: refused.collect(),
    }
}

fn timestamp(time: Duration) -> prost_types::Timestamp {
    (UNIX_EPOCH + time).into()
}
