//! What is in force but perhaps not what was meant.

use std::collections::BTreeMap;

use enforcer_common::reason;

use crate::node::{Attachment, NodeFacts};
use crate::policy::model::{DeviceGrant, Mode, Name, Policy, Rule, Tenant, UnixNanos, Workload};

use super::clause::{Ruling, between_tenants};
use super::node::is_local;

/// At most `limit` warnings: grants that give nothing here, rules whose terms are not met, workloads of this
/// node that were not found on it, or that a rule asks for a tunnel of which they have no end yet, leases that lapsed before `now`.
#[must_use]
pub fn warnings(policy: &Policy, facts: &NodeFacts, now: UnixNanos, limit: usize) -> Vec<String> {
    let grants = policy.tenants.values().flat_map(|tenant| grant_warnings(tenant, facts));
    let rules = policy.rules.values().filter_map(|rule| rule_warning(policy, rule));
    let workloads = policy.workloads.values().filter_map(|workload| workload_warning(workload, facts));
    let asking = tunnelled(policy);
    let tunnels = policy.workloads.values().filter_map(|workload| tunnel_warning(workload, facts, &asking));
    let leases = policy
        .workloads
        .values()
        .filter(|workload| workload.lease_until.is_some_and(|until| until < now))
        .map(|workload| format!("workload {}: its lease has lapsed", workload.name));
    let bindings = policy
        .bindings
        .values()
        .filter(|binding| binding.lease_until.is_some_and(|until| until < now))
        .map(|binding| format!("binding {}: its lease has lapsed", binding.address));
    grants.chain(rules).chain(workloads).chain(tunnels).chain(leases).chain(bindings).take(limit).collect()
}

fn grant_warnings(tenant: &Tenant, facts: &NodeFacts) -> Vec<String> {
    let refused = |grant: &DeviceGrant| {
        let error = facts.devices.resolve(&grant.class, grant.minors.as_deref()).err()?;
        Some(format!("tenant {}: a device grant gives nothing: {error}", tenant.name))
    };
    tenant.devices.iter().filter_map(refused).collect()
}

fn rule_warning(policy: &Policy, rule: &Rule) -> Option<String> {
    let (from, to, ruling) = between_tenants(policy, rule)?;
    match ruling {
        Ruling::Withhold(reason::NOT_CARRIED_BY_BOTH) => Some(format!(
            "rule {}: allows nothing until both {} and {} carry it",
            rule.name, from.name, to.name
        )),
        Ruling::Withhold(_) | Ruling::Allow | Ruling::Tunnel | Ruling::TunnelAlways | Ruling::Deny => None,
    }
}

/// The tenants at both ends of rules in force that ask for the tunnel, each with the first such rule by name.
fn tunnelled(policy: &Policy) -> BTreeMap<&Name, &Name> {
    let mut tenants = BTreeMap::new();
    for rule in policy.rules.values().filter(|rule| rule.mode == Mode::Enforce) {
        if let Some((from, to, ruling)) = between_tenants(policy, rule)
            && ruling.is_tunnel()
        {
            tenants.entry(&from.name).or_insert(&rule.name);
            tenants.entry(&to.name).or_insert(&rule.name);
        }
    }
    tenants
}

/// Of a workload that was found: for one that was not, that is what has to be said.
fn tunnel_warning(
    workload: &Workload,
    facts: &NodeFacts,
    tunnelled: &BTreeMap<&Name, &Name>,
) -> Option<String> {
    let rule = tunnelled.get(&workload.tenant)?;
    let attachment = facts.attachments.get(&workload.name)?;
    let is_found = attachment.interface.is_some() || attachment.cgroup.is_some();
    (is_found && attachment.tunnel.is_none() && is_local(facts, workload)).then(|| {
        format!(
            "workload {}: its end of the tunnel does not stand: what rule {rule} allows over mutual TLS alone is \
             refused",
            workload.name
        )
    })
}

fn workload_warning(workload: &Workload, facts: &NodeFacts) -> Option<String> {
    if !is_local(facts, workload) {
        return None;
    }
    let missing = match facts.attachments.get(&workload.name) {
        None | Some(Attachment { interface: None, cgroup: None, .. }) => "it was not found",
        Some(Attachment { cgroup: None, .. }) if workload.cgroup.is_some() => "its cgroup was not found",
        Some(Attachment { interface: None, .. })
            if workload.interface.is_some() || workload.network_namespace.is_some() =>
        {
            "its interface was not found"
        }
        Some(Attachment { interface: None, .. }) if !workload.host_network => {
            return Some(format!(
                "workload {}: it names a control group but no interface: its devices are gated and its connect and \
                 sendmsg calls are judged, its packets are not",
                workload.name
            ));
        }
        Some(_) => return None,
    };
    Some(format!("workload {}: {missing} on this node", workload.name))
}
