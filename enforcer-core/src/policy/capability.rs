//! What a policy asks of this node, and whether the node can: never silently weaker.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::device::class::{self, Role};
use crate::node::{Capability, NodeFacts};
use crate::policy::change::{occupants_of, rival};
use crate::policy::model::{Action, Company, Name, Occupant, Place, Policy, Rule, Tenant, Tier, Workload};
use crate::policy::parse::path::At;
use crate::policy::problem::{Problem, Problems};

/// Everything that `after` newly asks for and this node cannot enforce. With an empty `before`, everything
/// that `after` asks for.
#[must_use]
pub fn check_capabilities(before: &Policy, after: &Policy, facts: &NodeFacts) -> Vec<Problem> {
    let mut problems = Problems::default();
    for tenant in put(&before.tenants, &after.tenants) {
        check_tenant(&mut problems, tenant, after, facts);
    }
    for workload in put(&before.workloads, &after.workloads) {
        if is_local(workload, facts) {
            check_workload(&mut problems, workload, after, facts);
        }
    }
    for rule in put(&before.rules, &after.rules) {
        check_rule(&mut problems, rule, facts);
    }
    check_company(&mut problems, after, facts);
    problems.into_vec()
}

/// The objects that `after` has and `before` has not, or not like this.
fn put<'a, T: PartialEq>(
    before: &'a OrdMap<Name, Arc<T>>,
    after: &'a OrdMap<Name, Arc<T>>,
) -> impl Iterator<Item = &'a Arc<T>> {
    before.diff(after).filter_map(|item| match item {
        DiffItem::Add(_, new) | DiffItem::Update { new: (_, new), .. } => Some(new),
        DiffItem::Remove(..) => None,
    })
}

fn check_tenant(problems: &mut Problems, tenant: &Tenant, after: &Policy, facts: &NodeFacts) {
    let list = At::root("tenants");
    let at = list.name(&tenant.name);
    if tenant.id > facts.tag_limit {
        let message = format!(
            "{} does not fit the part of the packet mark that this node uses, which ends at {}; use a smaller number or widen the mark",
            tenant.id, facts.tag_limit
        );
        problems.add("id_beyond_tag", at.field("id"), message);
    }
    if tenant.tier >= Tier::Isolated {
        let what = "the tiers isolated and dedicated need passed and held device descriptors to be refused";
        need(problems, &facts.capabilities.device_handles, &at.field("tier"), what);
    }
    if !tenant.devices.is_empty() {
        need(
            problems,
            &facts.capabilities.device_gate,
            &at.field("devices"),
            "device grants need the device gate",
        );
    }
    for (item, grant) in tenant.devices.iter().enumerate() {
        let devices = at.field("devices");
        let at = devices.item(item);
        let Some(role) = facts.devices.role(&grant.class) else {
            let message = format!(
                "'{}' is no device class of this node; mend the name, or configure the class",
                grant.class
            );
            problems.add("device_class_unknown", at.field("class"), message);
            continue;
        };
        if class::by_name(&grant.class).is_some() {
            // Judged for every node alike, when the change was made.
            continue;
        }
        match (role, &grant.minors) {
            (Role::Never, _) => {
                let message =
                    format!("'{}' is granted to no tenant on this node; remove the grant", grant.class);
                problems.add("device_never_granted", at, message);
            }
            (Role::Accelerator, None) => {
                let message = format!("'{}' is a class of accelerators; name the minors", grant.class);
                problems.add("device_minors_required", at.field("minors"), message);
            }
            (Role::Accelerator, Some(minors)) => {
                for minor in minors {
                    let tenant_of = |name: &Name| after.tenants.get(name).cloned();
                    if let Some(other) = rival(&after.index, &grant.class, *minor, tenant, tenant_of) {
                        let message = format!(
                            "'{}' minor {minor} is granted to '{other}' too; only tenants of tier shared may have one accelerator together",
                            grant.class
                        );
                        problems.add("device_overlap", at, message);
                    }
                }
            }
            (Role::Control, _) => {}
        }
    }
}

fn check_workload(problems: &mut Problems, workload: &Workload, after: &Policy, facts: &NodeFacts) {
    let list = At::root("workloads");
    let at = list.name(&workload.name);
    let own_network = workload.interface.is_some() || workload.network_namespace.is_some();
    if workload.host_network {
        let what = "workloads that share the node's addresses need the cgroup socket hooks";
        need(problems, &facts.capabilities.socket_hooks, &at.field("hostNetwork"), what);
    }
    if own_network {
        let what = "workloads with an interface need the interface hooks";
        need(problems, &facts.capabilities.interface_hooks, &at, what);
    }
    if !own_network && workload.cgroup.is_none() {
        let message =
            "is on this node and cannot be found there; state interface, networkNamespace or cgroup";
        problems.add("workload_without_place", at, message);
    }
    let other_name = match &workload.node {
        None => Some(Name::from(facts.name.as_str())),
        Some(_) => None,
    };
    for place in crate::policy::change::places_of(workload) {
        let place = Place { node: other_name.clone(), ..place };
        if let Some(other) = after.index.places.get(&place) {
            let message =
                format!("'{}' belongs to workload '{other}'; one place is one workload's", place.path);
            problems.add("place_taken", at, message);
        }
    }
}

fn check_rule(problems: &mut Problems, rule: &Rule, facts: &NodeFacts) {
    if rule.mtls_required && rule.action == Action::Allow {
        let list = At::root("rules");
        let what = "rules with mtlsRequired need mutual TLS between workloads";
        need(problems, &facts.capabilities.mtls_tunnel, &list.name(&rule.name).field("mtlsRequired"), what);
    }
}

/// A workload that names this node and one that names none are neighbours.
fn check_company(problems: &mut Problems, after: &Policy, facts: &NodeFacts) {
    let named = Some(Name::from(facts.name.as_str()));
    let mut here: Vec<&Occupant> = Vec::new();
    for node in [&None, &named] {
        let minding = occupants_of(&after.index, node).filter(|occupant| occupant.company != Company::Serves);
        for occupant in minding.take(2) {
            if !here.iter().any(|other| other.tenant == occupant.tenant) {
                here.push(occupant);
            }
        }
    }
    here.sort_by_key(|occupant| occupant.company);
    if let [owner, other, ..] = here.as_slice()
        && owner.company == Company::Refuses
    {
        let message = format!(
            "this node belongs to dedicated tenant '{}' and cannot take '{}' too; move one of them to another node",
            owner.tenant, other.tenant
        );
        problems.add("dedicated_node_is_taken", At::root("tenants").name(&other.tenant), message);
    }
}

fn is_local(workload: &Workload, facts: &NodeFacts) -> bool {
    workload.node.as_deref().is_none_or(|node| node == facts.name)
}

fn need(problems: &mut Problems, capability: &Capability, at: &At, what: &str) {
    match capability {
        Capability::Present => {}
        Capability::Absent(reason) => {
            let message = format!("{what}, which this node cannot: {reason}");
            problems.add("capability_absent", at, message);
        }
    }
}

#[cfg(test)]
mod tests;
