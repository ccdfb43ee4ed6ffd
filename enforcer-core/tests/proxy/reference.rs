//! The tunnel's terms, sentence by sentence, found by walking over every object. It shares no code with the court, the
//! compiler or `decide()`.

use std::net::IpAddr;

use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::{Action, Bound, Mode, Name, Peer, Policy, Rule, Tenant, Tier, Workload};
use enforcer_core::proxy::authorize::{Inbound, Outbound, Parties};

/// Passes by this rule, and as a recorded refusal if so; or is refused for this reason.
pub(crate) type Judgement = Result<(String, Option<&'static str>), &'static str>;

struct Case<'a> {
    from: &'a Tenant,
    to: &'a Tenant,
    lapsed: bool,
    port: u16,
}

pub(crate) fn judge(policy: &Policy, facts: &NodeFacts, parties: &Parties, now: u64) -> Judgement {
    // Ports of the agent are no workload's.
    if [15_001, 15_008].contains(&parties.destination().port()) {
        return Err("tunnel_target");
    }
    let case = match parties {
        Parties::Outbound(outbound) => outbound_case(policy, facts, outbound, now)?,
        Parties::Inbound(inbound) => inbound_case(policy, facts, inbound, now)?,
    };
    let mut judgement = rules(policy, &case);
    // A tenant in audit mode refuses nothing that its rules refuse; the owner is the destination.
    if let (Err(reason), Mode::Audit, false) = (&judgement, case.to.mode, is_settled(&case)) {
        judgement = Ok((spoken(policy, &case), Some(reason)));
    }
    judgement
}

fn outbound_case<'a>(
    policy: &'a Policy,
    facts: &NodeFacts,
    parties: &Outbound,
    now: u64,
) -> Result<Case<'a>, &'static str> {
    let workload = here(policy, facts, &parties.workload).ok_or("tunnel_identity")?;
    let from = named(policy, &workload.tenant).ok_or("tenant_unknown")?;
    if from.name != parties.own || from.id != parties.identity {
        return Err("tunnel_identity");
    }
    let (to, lease) = match who(policy, facts, parties.destination.ip()) {
        Who::Tenant(tenant, lease) => (tenant, lease),
        Who::Node(_) | Who::Stranger => return Err("tunnel_identity"),
    };
    if parties.peer.as_ref().is_some_and(|peer| *peer != to.name) {
        return Err("tunnel_identity");
    }
    Ok(Case {
        from,
        to,
        lapsed: past(workload.lease_until, now) || past(lease, now),
        port: parties.destination.port(),
    })
}

fn inbound_case<'a>(
    policy: &'a Policy,
    facts: &NodeFacts,
    parties: &Inbound,
    now: u64,
) -> Result<Case<'a>, &'static str> {
    let workload = here(policy, facts, &parties.workload).ok_or("tunnel_identity")?;
    let to = named(policy, &workload.tenant).ok_or("tenant_unknown")?;
    if to.name != parties.own {
        return Err("tunnel_identity");
    }
    let address = parties.destination.ip();
    if !workload.addresses.contains(&address) || facts.addresses.contains(&address) {
        return Err("tunnel_target");
    }
    if parties.carrier != parties.source.ip() {
        return Err("tunnel_identity");
    }
    let (from, lease) = match who(policy, facts, parties.carrier) {
        Who::Tenant(tenant, lease) if tenant.name == parties.peer => (tenant, lease),
        Who::Node(lease) => (named(policy, &parties.peer).ok_or("tenant_unknown")?, lease),
        Who::Tenant(..) | Who::Stranger => return Err("tunnel_identity"),
    };
    Ok(Case {
        from,
        to,
        lapsed: past(workload.lease_until, now) || past(lease, now),
        port: parties.destination.port(),
    })
}

/// Between tenants a lapsed lease refuses, and a dedicated tenant, unless the other is a platform service.
fn is_settled(case: &Case<'_>) -> bool {
    settled(case).is_some()
}

fn settled(case: &Case<'_>) -> Option<&'static str> {
    if case.from.name == case.to.name {
        return None;
    }
    let is_dedicated = [case.from, case.to].iter().any(|tenant| tenant.tier == Tier::Dedicated);
    let is_served = case.from.platform_service || case.to.platform_service;
    match (case.lapsed, is_dedicated && !is_served) {
        (true, _) => Some("lease_expired"),
        (false, true) => Some("tier_dedicated"),
        (false, false) => None,
    }
}

/// Deny beats allow; an allow that asks for mutual TLS has it here; one that needs both tenants needs both.
fn rules(policy: &Policy, case: &Case<'_>) -> Judgement {
    if let Some(reason) = settled(case) {
        return Err(reason);
    }
    let speaking = speaking(policy, case);
    if speaking.iter().any(|rule| rule.action == Action::Deny) {
        return Err("rule_denied");
    }
    let met = speaking.iter().filter(|rule| is_carried(rule, case));
    // A rule that plaintext would do for is named first, then one for which it would on one node.
    let asked = |rule: &Rule| (asks_for_tls(rule, case), asks_for_tls(rule, case) && rule.mtls_always);
    if let Some(rule) = met.min_by_key(|rule| (asked(rule), &rule.name)) {
        return Ok((rule.name.to_string(), None));
    }
    match (speaking.first(), case.from.name == case.to.name) {
        (Some(_), _) => Err("not_carried_by_both"),
        (None, true) => Ok(("intra-tenant".to_owned(), None)),
        (None, false) => Err("cross_tenant_no_rule"),
    }
}

/// The rule behind a refusal, or the word for none.
fn spoken(policy: &Policy, case: &Case<'_>) -> String {
    let speaking = speaking(policy, case);
    let denying = speaking.iter().find(|rule| rule.action == Action::Deny);
    let rule = denying.or_else(|| speaking.first());
    rule.map_or_else(|| "no-rule-matched".to_owned(), |rule| rule.name.to_string())
}

/// Enforced rules from the one tenant to the other, for this TCP port, by name.
fn speaking<'a>(policy: &'a Policy, case: &Case<'_>) -> Vec<&'a Rule> {
    let is_side = |side: &Peer, tenant: &Tenant| matches!(side, Peer::Tenant(name) if *name == tenant.name);
    let matches_port = |rule: &Rule| {
        rule.ports.as_ref().is_none_or(|ports| {
            ports.iter().any(|range| {
                range.protocol.name() == "TCP" && (range.first..=range.last).contains(&case.port)
            })
        })
    };
    let rules = policy.rules.values().map(AsRef::as_ref);
    rules
        .filter(|rule| rule.mode == Mode::Enforce && matches_port(rule))
        .filter(|rule| is_side(&rule.from, case.from) && is_side(&rule.to, case.to))
        .collect()
}

fn is_isolated(case: &Case<'_>) -> bool {
    let either = case.from.tier == Tier::Isolated || case.to.tier == Tier::Isolated;
    either && case.from.name != case.to.name
}

fn is_carried(rule: &Rule, case: &Case<'_>) -> bool {
    let carried = |tenant: &Tenant| rule.carried_by.contains(&tenant.name);
    !is_isolated(case) || (carried(case.from) && carried(case.to))
}

fn asks_for_tls(rule: &Rule, case: &Case<'_>) -> bool {
    rule.mtls_required || is_isolated(case)
}

enum Who<'a> {
    Tenant(&'a Tenant, Option<u64>),
    Node(Option<u64>),
    Stranger,
}

fn who<'a>(policy: &'a Policy, facts: &NodeFacts, address: IpAddr) -> Who<'a> {
    if facts.addresses.contains(&address) {
        return Who::Node(None);
    }
    let tenant =
        |name: &Name, lease| named(policy, name).map_or(Who::Stranger, |tenant| Who::Tenant(tenant, lease));
    if let Some(workload) = policy.workloads.values().find(|workload| workload.addresses.contains(&address)) {
        return tenant(&workload.tenant, workload.lease_until);
    }
    match policy.bindings.values().find(|binding| binding.address == address) {
        None => Who::Stranger,
        Some(binding) => match &binding.bound {
            Bound::Tenant(name) => tenant(name, binding.lease_until),
            Bound::RemoteNode | Bound::Host => Who::Node(binding.lease_until),
        },
    }
}

fn named<'a>(policy: &'a Policy, name: &str) -> Option<&'a Tenant> {
    policy.tenants.values().map(AsRef::as_ref).find(|tenant| *tenant.name == *name)
}

fn here<'a>(policy: &'a Policy, facts: &NodeFacts, name: &str) -> Option<&'a Workload> {
    let mut workloads = policy.workloads.values().map(AsRef::as_ref);
    let is_here = |workload: &&Workload| workload.node.as_deref().is_none_or(|node| node == facts.name);
    workloads.find(|workload| *workload.name == *name).filter(is_here)
}

fn past(lease: Option<u64>, now: u64) -> bool {
    lease.is_some_and(|until| until < now)
}
