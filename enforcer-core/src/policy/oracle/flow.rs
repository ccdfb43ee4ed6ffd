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
    let enforced = said(policy, flow, &from, &to, |rule| rule.mode == Mode::Enforce);
    let everything = said(policy, flow, &from, &to, |_| true);
    let mut verdict = answer(&silent, enforced);
    let would_be = answer(&silent, everything);
    if verdict.answer != would_be.answer {
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

fn answer(silent: &OracleVerdict, said: Said<'_>) -> OracleVerdict {
    match said {
        Said::Denied(name) => OracleVerdict { rule: name.to_string(), ..OracleVerdict::deny("rule_denied") },
        Said::Allowed(name) => OracleVerdict::allow(&name),
        Said::Withheld(name, reason) => {
            OracleVerdict { rule: name.to_string(), ..OracleVerdict::deny(reason) }
        }
        Said::Nothing => silent.clone(),
    }
}

/// The rules that count, in the order of their names: the first deny, else the first allow whose terms are
/// met, else the sender's egress list, else the first allow whose terms are not.
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
    if let Some(rule) = speaking.iter().find(|rule| unmet(rule, from, to).is_none()) {
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
    match speaking.first() {
        Some(rule) => Said::Withheld(&rule.name, unmet(rule, from, to).unwrap_or("none")),
        None => Said::Nothing,
    }
}

/// The terms of an allow rule that are not met.
fn unmet(rule: &Rule, from: &Party<'_>, to: &Party<'_>) -> Option<&'static str> {
    let mut mtls = rule.mtls_required;
    if let (Party::Tenant { tenant: from, .. }, Party::Tenant { tenant: to, .. }) = (from, to)
        && from.name != to.name
        && (from.tier == Tier::Isolated || to.tier == Tier::Isolated)
    {
        if !rule.carried_by.contains(&from.name) || !rule.carried_by.contains(&to.name) {
            return Some("not_carried_by_both");
        }
        mtls = true;
    }
    mtls.then_some("mtls_required")
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
