//! Keeps [`Index`] in step with the objects, one object at a time.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

use crate::policy::model::{
    Binding, Bound, Company, Holder, Index, Name, Occupant, Peer, Place, PlaceKind, Rule, Tenant, Tier,
    Workload,
};
use crate::policy::parse::path::At;
use crate::policy::problem::Problems;

/// How much a tenant minds company.
pub(super) fn company(tenant: &Tenant) -> Company {
    match (tenant.tier, tenant.platform_service) {
        (Tier::Dedicated, _) => Company::Refuses,
        (Tier::Shared | Tier::Partitioned | Tier::Isolated, true) => Company::Serves,
        (Tier::Shared | Tier::Partitioned | Tier::Isolated, false) => Company::Accepts,
    }
}

pub(super) fn tenant_in(index: &mut Index, tenant: &Tenant) {
    index.tenant_by_id.entry(tenant.id).or_insert(Arc::clone(&tenant.name));
    for (class, minor) in granted(tenant) {
        index.granted.entry((class, minor)).or_default().insert(Arc::clone(&tenant.name));
    }
}

pub(super) fn tenant_out(index: &mut Index, tenant: &Tenant) {
    index.tenant_by_id.remove(&tenant.id);
    for key in granted(tenant) {
        if let Some(holders) = index.granted.get_mut(&key) {
            holders.remove(&tenant.name);
            if holders.is_empty() {
                index.granted.remove(&key);
            }
        }
    }
}

/// Each minor number that a tenant was granted.
pub(super) fn granted(tenant: &Tenant) -> impl Iterator<Item = (Name, u32)> {
    tenant
        .devices
        .iter()
        .flat_map(|grant| grant.minors.iter().flatten().map(|minor| (Arc::clone(&grant.class), *minor)))
}

/// A tenant's workloads stand under another company now. Visits every occupant: this is rare.
pub(super) fn change_company(index: &mut Index, tenant: &Name, from: Company, to: Company) {
    let moved: Vec<(Occupant, u64)> = index
        .occupants
        .iter()
        .filter(|(occupant, _)| occupant.tenant == *tenant && occupant.company == from)
        .map(|(occupant, count)| (occupant.clone(), *count))
        .collect();
    for (occupant, count) in moved {
        index.occupants.remove(&occupant);
        index.occupants.insert(Occupant { company: to, ..occupant }, count);
    }
}

pub(super) fn workload_in(index: &mut Index, workload: &Workload, company: Company, problems: &mut Problems) {
    index.take_workload_number(&workload.name);
    count(&mut index.mentions, Arc::clone(&workload.tenant));
    count(&mut index.occupants, occupant(workload, company));
    for address in &workload.addresses {
        let holder = Holder::Workload(Arc::clone(&workload.name));
        hold(index, *address, holder, "workloads", &workload.name, problems);
    }
    for place in places(workload) {
        match index.places.get(&place) {
            None => {
                index.places.insert(place, Arc::clone(&workload.name));
            }
            Some(other) => {
                let message =
                    format!("'{}' belongs to workload '{other}'; one place is one workload's", place.path);
                let field = match place.kind {
                    PlaceKind::Cgroup => "cgroup",
                    PlaceKind::Interface => "interface",
                    PlaceKind::NetworkNamespace => "networkNamespace",
                };
                let list = At::root("workloads");
                problems.add("place_taken", list.name(&workload.name).field(field), message);
            }
        }
    }
}

pub(super) fn workload_out(index: &mut Index, workload: &Workload, company: Company) {
    discount(&mut index.mentions, &workload.tenant);
    discount(&mut index.occupants, &occupant(workload, company));
    for address in &workload.addresses {
        index.holder.remove(address);
    }
    for place in places(workload) {
        index.places.remove(&place);
    }
}

pub(super) fn rule_in(index: &mut Index, rule: &Rule) {
    index.take_rule_number(&rule.name);
    for tenant in sides(rule) {
        count(&mut index.mentions, Arc::clone(tenant));
    }
    if let Some(owner) = rule.owner() {
        index.rules_by_owner.entry(Arc::clone(owner)).or_default().insert(Arc::clone(&rule.name));
    }
}

pub(super) fn rule_out(index: &mut Index, rule: &Rule) {
    for tenant in sides(rule) {
        discount(&mut index.mentions, tenant);
    }
    if let Some(owner) = rule.owner()
        && let Some(rules) = index.rules_by_owner.get_mut(owner)
    {
        rules.remove(&rule.name);
        if rules.is_empty() {
            index.rules_by_owner.remove(owner);
        }
    }
}

pub(super) fn binding_in(index: &mut Index, binding: &Binding, problems: &mut Problems) {
    if let Bound::Tenant(tenant) = &binding.bound {
        count(&mut index.mentions, Arc::clone(tenant));
    }
    let name = binding.address.to_string();
    hold(index, binding.address, Holder::Binding, "bindings", &name, problems);
}

pub(super) fn binding_out(index: &mut Index, binding: &Binding) {
    if let Bound::Tenant(tenant) = &binding.bound {
        discount(&mut index.mentions, tenant);
    }
    index.holder.remove(&binding.address);
}

/// The tenants that a rule mentions: its sides, and whoever carries it is one of them.
pub(super) fn sides(rule: &Rule) -> impl Iterator<Item = &Name> {
    [&rule.from, &rule.to].into_iter().filter_map(|peer| match peer {
        Peer::Tenant(name) => Some(name),
        Peer::Host | Peer::RemoteNode | Peer::World | Peer::Block(_) => None,
    })
}

/// What a workload claims of its node.
pub(crate) fn places(workload: &Workload) -> impl Iterator<Item = Place> {
    [
        (PlaceKind::Cgroup, &workload.cgroup),
        (PlaceKind::Interface, &workload.interface),
        (PlaceKind::NetworkNamespace, &workload.network_namespace),
    ]
    .into_iter()
    .filter_map(|(kind, path)| {
        path.as_ref().map(|path| Place { node: workload.node.clone(), kind, path: path.clone() })
    })
}

fn occupant(workload: &Workload, company: Company) -> Occupant {
    Occupant { node: workload.node.clone(), company, tenant: Arc::clone(&workload.tenant) }
}

fn hold(
    index: &mut Index,
    address: IpAddr,
    holder: Holder,
    list: &'static str,
    name: &str,
    problems: &mut Problems,
) {
    let other = match index.holder.get(&address) {
        None => {
            index.holder.insert(address, holder);
            return;
        }
        Some(Holder::Workload(other)) => format!("workload '{other}'"),
        Some(Holder::Binding) => "a binding".to_owned(),
    };
    let message = format!(
        "{address} is held by {other} already; an address has one holder, so take it away there first"
    );
    let list = At::root(list);
    problems.add("address_overlap", list.name(name), message);
}

fn count<K: Ord + Clone>(counts: &mut OrdMap<K, u64>, key: K) {
    *counts.entry(key).or_default() += 1;
}

fn discount<K: Ord + Clone>(counts: &mut OrdMap<K, u64>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
