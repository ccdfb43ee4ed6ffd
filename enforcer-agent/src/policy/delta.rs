//! What differs between two policies, as the message that leads from the one to the other.

use std::net::IpAddr;
use std::sync::Arc;

use enforcer_core::policy::model::{Binding, Name, Policy};
use enforcer_core::policy::wire;
use enforcer_proto::v1;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

/// A change, and how many objects it is about.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) delta: v1::Delta,
    /// What was added or changed, by itself: no whole policy, with no index but the numbers that became used.
    pub(super) changed: Policy,
    pub(super) objects: usize,
    /// True when it says something about workloads, so that the node has to be looked at again.
    pub(super) workloads: bool,
}

/// Compares two policies; what they share costs nothing.
pub(super) fn between(old: &Policy, new: &Policy) -> Difference {
    let (tenants, delete_tenants) = by_name(&old.tenants, &new.tenants);
    let (workloads, delete_workloads) = by_name(&old.workloads, &new.workloads);
    let (rules, delete_rules) = by_name(&old.rules, &new.rules);
    let (bindings, delete_bindings) = bindings(&old.bindings, &new.bindings);
    let objects = tenants.len()
        + workloads.len()
        + rules.len()
        + bindings.len()
        + delete_tenants.len()
        + delete_workloads.len()
        + delete_rules.len()
        + delete_bindings.len();
    let about_workloads = !workloads.is_empty() || !delete_workloads.is_empty();
    let mut changed = Policy { tenants, workloads, rules, bindings, ..Policy::default() };
    changed.index.retired_ids = retired(old, new);
    // A number that was only said to be used is a change too: it has to be kept.
    let objects = objects + changed.index.retired_ids.len();
    let delta = v1::Delta {
        upsert: Some(wire::snapshot(&changed)),
        delete_tenants,
        delete_workloads,
        delete_rules,
        delete_bindings,
    };
    Difference { delta, changed, objects, workloads: about_workloads }
}

/// Tenant numbers that became used.
fn retired(old: &Policy, new: &Policy) -> OrdMap<u32, Name> {
    let mut retired = OrdMap::new();
    for item in old.index.retired_ids.diff(&new.index.retired_ids) {
        match item {
            DiffItem::Add(id, name) | DiffItem::Update { new: (id, name), .. } => {
                retired.insert(*id, Arc::clone(name));
            }
            // Its tenant is back, and holds it again.
            DiffItem::Remove(..) => {}
        }
    }
    retired
}

fn by_name<T: PartialEq>(
    old: &OrdMap<Name, Arc<T>>,
    new: &OrdMap<Name, Arc<T>>,
) -> (OrdMap<Name, Arc<T>>, Vec<String>) {
    let mut upsert = OrdMap::new();
    let mut delete = Vec::new();
    for item in old.diff(new) {
        match item {
            DiffItem::Add(name, object) | DiffItem::Update { new: (name, object), .. } => {
                upsert.insert(Arc::clone(name), Arc::clone(object));
            }
            DiffItem::Remove(name, _) => delete.push(name.to_string()),
        }
    }
    (upsert, delete)
}

fn bindings(
    old: &OrdMap<IpAddr, Arc<Binding>>,
    new: &OrdMap<IpAddr, Arc<Binding>>,
) -> (OrdMap<IpAddr, Arc<Binding>>, Vec<v1::BindingRef>) {
    let mut upsert = OrdMap::new();
    let mut delete = Vec::new();
    for item in old.diff(new) {
        match item {
            DiffItem::Add(address, binding) | DiffItem::Update { new: (address, binding), .. } => {
                upsert.insert(*address, Arc::clone(binding));
            }
            DiffItem::Remove(address, binding) => {
                delete.push(v1::BindingRef { address: address.to_string(), generation: binding.generation });
            }
        }
    }
    (upsert, delete)
}
