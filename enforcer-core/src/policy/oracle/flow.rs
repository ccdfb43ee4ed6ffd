//! Flows, as the documentation of precedence tells it, sentence by sentence.

use std::net::IpAddr;

use crate::node::NodeFacts;
use crate::policy::model::{
    Action, Bound, IpBlock, Mode, Name, Peer, Policy, PortRange, Rule, Tenant, Tier, UnixNanos,
};

use super::{Answer, OracleVerdict};

/// A flow in its forward direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Address of the initiator.
    pub from: IpAddr,
    /// Address of the responder.
    pub to: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port; for ICMP `type << 8 | code`.
    pub service: u16,
    /// The time.
    pub now: UnixNanos,
}

/// Who an address is.
enum Party<'a> {
    Tenant { tenant: &'a Tenant, lapsed: bool },
    Host,
    RemoteNode,
    World,
}

/// What some rules say together.
enum Said<'a> {
    Denied(&'a Name),
    Allowed(String),
    /// Allowed over mutual TLS; with `true` on one node too.
    Tunnelled(&'a Name, bool),
    Withheld(&'a Name, &'static str),
    Nothing,
}

/// What a policy says of a flow.
#[must_use]
pub fn verdict(policy: &Policy, facts: &NodeFacts, flow: &Flow) -> OracleVerdict {
    let (from, to) = (party(policy, facts, flow.from, flow.now), party(policy, facts, flow.to, flow.now));
    let silent = match (&from, &to) {
        (Party::Tenant { tenant: from, lapsed: first }, Party::Tenant { tenant: to, lapsed: second }) => {
            if from.name == to.name {
                OracleVerdict::allow("intra-tenant")
            } else if *first || *second {
                return OracleVerdict::deny("lease_expired");
            } else if (from.tier == Tier::Dedicated || to.tier == Tier::Dedicated)
                && !from.platform_service
                && !to.platform_service
            {
                return OracleVerdict::deny("tier_dedicated");
            } else {
                OracleVerdict::deny("cross_tenant_no_rule")
            }
        }
        (Party::Host, Party::Tenant { .. }) => OracleVerdict::allow("host-default"),
        (Party::Tenant { .. }, Party::Host) => OracleVerdict::deny("host_no_rule"),
        (Party::RemoteNode, Party::Tenant { .. }) | (Party::Tenant { .. }, Party::RemoteNode) => {
            OracleVerdict::deny("remote_node_no_rule")
        }
        (Party::World, Party::Tenant { .. }) => OracleVerdict::deny("source_unbound"),
        (Party::Tenant { .. }, Party::World) => OracleVerdict::deny("destination_unbound"),
        _ => return OracleVerdict::allow("not-managed"),
    };
    if carries_tunnelled_flows(policy, flow, &from, &to) {
        return OracleVerdict::allow("tunnel");
    }
    let one_node = runs_here(policy, facts, flow.from) && runs_here(policy, facts, flow.to);
    let enforced = said(policy, flow, &from, &to, |rule| rule.mode == Mode::Enforce);
    let everything = said(policy, flow, &from, &to, |_| true);
    let mut verdict = answer(&silent, enforced, one_node);
    let would_be = answer(&silent, everything, one_node);
    if (verdict.answer, verdict.tunnel) != (would_be.answer, would_be.tunnel) {
        verdict.shadow = Some((would_be.rule, would_be.answer));
    }
    let owner = match (&from, &to) {
        (_, Party::Tenant { tenant, .. }) | (Party::Tenant { tenant, .. }, _) => tenant,
        _ => return verdict,
    };
    if owner.mode == Mode::Audit && verdict.answer == Answer::Deny {
        verdict.answer = Answer::Audit;
    }
    verdict
}

fn answer(silent: &OracleVerdict, said: Said<'_>, one_node: bool) -> OracleVerdict {
    match said {
        Said::Denied(name) => OracleVerdict { rule: name.to_string(), ..OracleVerdict::deny("rule_denied") },
        Said::Allowed(name) => OracleVerdict::allow(&name),
        Said::Tunnelled(name, false) if one_node => OracleVerdict::allow(name),
        Said::Tunnelled(name, _) => {
            OracleVerdict { rule: name.to_string(), tunnel: true, ..OracleVerdict::deny("mtls_required") }
        }
        Said::Withheld(name, reason) => {
            OracleVerdict { rule: name.to_string(), ..OracleVerdict::deny(reason) }
        }
        Said::Nothing => silent.clone(),
    }
}

/// The rules that count, in the order of their names: the first deny, else the first allow whose terms are
/// met in plaintext, else the sender's egress list, else the first allow that asks for mutual TLS between nodes, else the
/// first that asks for it always, else the first allow whose terms are not met.
fn said<'a>(
    policy: &'a Policy,
    flow: &Flow,
    from: &Party<'_>,
    to: &Party<'_>,
    counts: impl Fn(&Rule) -> bool,
) -> Said<'a> {
    let speaking: Vec<&Rule> = policy
        .rules
        .values()
        .map(AsRef::as_ref)
        .filter(|rule| counts(rule) && speaks_of(rule, flow, from, to))
        .collect();
    if let Some(rule) = speaking.iter().find(|rule| rule.action == Action::Deny) {
        return Said::Denied(&rule.name);
    }
    if let Some(rule) = speaking.iter().find(|rule| matches!(terms(rule, from, to), Terms::Met)) {
        return Said::Allowed(rule.name.to_string());
    }
    if let (Party::Tenant { tenant, .. }, Party::World) = (from, to)
        && tenant
            .egress
            .iter()
            .any(|egress| is_in(&egress.block, flow.to) && ports_match(egress.ports.as_deref(), flow))
    {
        return Said::Allowed("tenant-egress".to_owned());
    }
    let mut tunnelled = speaking.iter().filter(|rule| matches!(terms(rule, from, to), Terms::MutualTls));
    if let Some(rule) = tunnelled.clone().find(|rule| !rule.mtls_always) {
        return Said::Tunnelled(&rule.name, false);
    }
    if let Some(rule) = tunnelled.next() {
        return Said::Tunnelled(&rule.name, true);
    }
    for rule in speaking {
        if let Terms::Unmet(reason) = terms(rule, from, to) {
            return Said::Withheld(&rule.name, reason);
        }
    }
    Said::Nothing
}

/// What stands between an allow rule and plaintext.
enum Terms {
    Met,
    MutualTls,
    Unmet(&'static str),
}

/// The terms of an allow rule. A tunnel has a tenant at each end.
fn terms(rule: &Rule, from: &Party<'_>, to: &Party<'_>) -> Terms {
    let (Party::Tenant { tenant: from, .. }, Party::Tenant { tenant: to, .. }) = (from, to) else {
        return if rule.mtls_required { Terms::Unmet("mtls_required") } else { Terms::Met };
    };
    let isolated = from.name != to.name && (from.tier == Tier::Isolated || to.tier == Tier::Isolated);
    if isolated && !(rule.carried_by.contains(&from.name) && rule.carried_by.contains(&to.name)) {
        return Terms::Unmet("not_carried_by_both");
    }
    if isolated || rule.mtls_required { Terms::MutualTls } else { Terms::Met }
}

const TCP: u8 = 6;
const TUNNEL_PORT: u16 = 15008;

/// A connection to a tunnel's end: from a tenant between whom and the destination some TCP port asks for mutual TLS;
/// or from a node, of which a rule may speak, when any tenant is such.
fn carries_tunnelled_flows(policy: &Policy, flow: &Flow, from: &Party<'_>, to: &Party<'_>) -> bool {
    let Party::Tenant { tenant: owner, .. } = to else { return false };
    if flow.protocol != TCP || flow.service != TUNNEL_PORT {
        return false;
    }
    let any = || policy.tenants.values().any(|tenant| asks_for_tunnel(policy, flow, tenant, to));
    let speaks_of_host =
        |rule: &Rule| rule.from == Peer::Host && rule.to == Peer::Tenant(Name::clone(&owner.name));
    match from {
        Party::Tenant { tenant, .. } => asks_for_tunnel(policy, flow, tenant, to),
        Party::RemoteNode => any(),
        Party::Host => policy.rules.values().any(|rule| speaks_of_host(rule)) && any(),
        Party::World => false,
    }
}

/// Answers change only where some rule's range begins or has ended, so those ports stand for all.
fn asks_for_tunnel(policy: &Policy, flow: &Flow, from: &Tenant, to: &Party<'_>) -> bool {
    let ranges = policy.rules.values().flat_map(|rule| rule.ports.iter().flatten());
    let edges = ranges.flat_map(|range| [range.first, range.last.saturating_add(1)]);
    let from = Party::Tenant { tenant: from, lapsed: false };
    edges.chain([0]).any(|service| {
        let flow = Flow { service, ..*flow };
        matches!(said(policy, &flow, &from, to, |rule| rule.mode == Mode::Enforce), Said::Tunnelled(..))
    })
}

/// True for the address of a workload of this node.
fn runs_here(policy: &Policy, facts: &NodeFacts, address: IpAddr) -> bool {
    let holder = policy.workloads.values().find(|workload| workload.addresses.contains(&address));
    !facts.addresses.contains(&address)
        && holder.is_some_and(|workload| workload.node.as_ref().is_none_or(|node| **node == *facts.name))
}

fn speaks_of(rule: &Rule, flow: &Flow, from: &Party<'_>, to: &Party<'_>) -> bool {
    is_side(&rule.from, from, flow.from)
        && is_side(&rule.to, to, flow.to)
        && ports_match(rule.ports.as_deref(), flow)
}

fn is_side(peer: &Peer, party: &Party<'_>, address: IpAddr) -> bool {
    match (peer, party) {
        (Peer::Tenant(name), Party::Tenant { tenant, .. }) => tenant.name == *name,
        (Peer::Host, Party::Host) | (Peer::RemoteNode, Party::RemoteNode) | (Peer::World, Party::World) => {
            true
        }
        (Peer::Block(block), Party::World) => is_in(block, address),
        _ => false,
    }
}

fn is_in(block: &IpBlock, address: IpAddr) -> bool {
    block.cidr.contains(&address) && !block.except.iter().any(|except| except.contains(&address))
}

fn ports_match(ports: Option<&[PortRange]>, flow: &Flow) -> bool {
    ports.is_none_or(|ports| {
        ports.iter().any(|range| {
            range.protocol.number() == flow.protocol
                && range.first <= flow.service
                && flow.service <= range.last
        })
    })
}

fn party<'a>(policy: &'a Policy, facts: &NodeFacts, address: IpAddr, now: UnixNanos) -> Party<'a> {
    let tenant = |name: &Name, lease: Option<UnixNanos>| {
        let tenant = policy.tenants.values().find(|tenant| tenant.name == *name);
        tenant.map_or(Party::World, |tenant| Party::Tenant {
            tenant,
            lapsed: lease.is_some_and(|until| until < now),
        })
    };
    if facts.addresses.iter().any(|own| *own == address) {
        return Party::Host;
    }
    if let Some(workload) = policy.workloads.values().find(|workload| workload.addresses.contains(&address)) {
        return tenant(&workload.tenant, workload.lease_until);
    }
    match policy.bindings.values().find(|binding| binding.address == address) {
        Some(binding) => match &binding.bound {
            Bound::Tenant(name) => tenant(name, binding.lease_until),
            Bound::RemoteNode => Party::RemoteNode,
            Bound::Host => Party::Host,
        },
        None => Party::World,
    }
}
