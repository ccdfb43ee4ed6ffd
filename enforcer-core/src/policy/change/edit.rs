//! What really changes: objects that are new or differ, and names that go.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;

use crate::policy::model::{Binding, Name, Policy, Rule, Tenant, Workload};
use crate::policy::parse::path::At;
use crate::policy::parse::wire::{Deletions, Objects};
use crate::policy::problem::Problems;

/// A change, reduced to what differs from the policy in force.
#[derive(Debug, Default)]
pub(super) struct Edit {
    pub(super) tenants: Vec<Arc<Tenant>>,
    pub(super) workloads: Vec<Arc<Workload>>,
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) bindings: Vec<Arc<Binding>>,
    pub(super) retired_ids: Vec<(u32, Name)>,
    pub(super) gone_tenants: Vec<Name>,
    pub(super) gone_workloads: Vec<Name>,
    pub(super) gone_rules: Vec<Name>,
    pub(super) gone_bindings: Vec<IpAddr>,
}

impl Edit {
    /// A whole policy: what it does not name goes. A tenant that could not be understood stays.
    pub(super) fn replacing(
        current: &Policy,
        objects: Objects,
        broken_tenants: &BTreeSet<String>,
        problems: &mut Problems,
    ) -> Self {
        let mut edit = Self::puts(current, &objects, problems);
        let Objects { tenants, workloads, rules, bindings, .. } = &objects;
        edit.gone_tenants = others(&current.tenants, tenants.iter().map(|tenant| &tenant.name));
        edit.gone_tenants.retain(|name| !broken_tenants.contains(&**name));
        edit.gone_workloads = others(&current.workloads, workloads.iter().map(|workload| &workload.name));
        edit.gone_rules = others(&current.rules, rules.iter().map(|rule| &rule.name));
        edit.gone_bindings = others(&current.bindings, bindings.iter().map(|binding| &binding.address));
        edit
    }

    /// Some objects more, some less.
    pub(super) fn adding(
        current: &Policy,
        objects: Objects,
        deletions: Deletions,
        problems: &mut Problems,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut edit = Self::puts(current, &objects, problems);
        let Deletions { tenants, workloads, rules, bindings } = deletions;
        let put = objects.tenants.iter().map(|tenant| &tenant.name);
        edit.gone_tenants = named(&current.tenants, "Tenants", tenants, put, problems, warnings);
        let put = objects.workloads.iter().map(|workload| &workload.name);
        edit.gone_workloads = named(&current.workloads, "Workloads", workloads, put, problems, warnings);
        let put = objects.rules.iter().map(|rule| &rule.name);
        edit.gone_rules = named(&current.rules, "Rules", rules, put, problems, warnings);
        edit.gone_bindings = released(current, &objects, bindings, warnings);
        edit
    }

    fn puts(current: &Policy, objects: &Objects, problems: &mut Problems) -> Self {
        let Objects { tenants, workloads, rules, bindings, retired_ids } = objects;
        let edit = Self {
            tenants: fresh(&current.tenants, "tenants", tenants, |tenant| &tenant.name, problems),
            workloads: fresh(&current.workloads, "workloads", workloads, |workload| &workload.name, problems),
            rules: fresh(&current.rules, "rules", rules, |rule| &rule.name, problems),
            bindings: fresh(&current.bindings, "bindings", bindings, |binding| &binding.address, problems),
            retired_ids: retired_ids.clone(),
            ..Self::default()
        };
        for binding in &edit.bindings {
            if let Some(held) = current.bindings.get(&binding.address) {
                is_not_older(binding, held, problems);
            }
        }
        edit
    }
}

/// The objects that are new or differ; a name that is stated twice is a problem.
fn fresh<K: Ord + ToString, T: PartialEq>(
    current: &OrdMap<K, Arc<T>>,
    list: &'static str,
    objects: &[Arc<T>],
    key: fn(&T) -> &K,
    problems: &mut Problems,
) -> Vec<Arc<T>> {
    let mut seen: BTreeMap<&K, ()> = BTreeMap::new();
    let mut fresh = Vec::new();
    for object in objects {
        let key = key(object);
        if seen.insert(key, ()).is_some() {
            let at = At::root(list);
            let name = key.to_string();
            problems.add("duplicate_name", at.name(&name), "is stated twice in one push; state it once");
        } else if current.get(key) != Some(object) {
            fresh.push(Arc::clone(object));
        }
    }
    fresh
}

/// The keys of `current` that are not among `kept`.
fn others<'a, K: Ord + Clone + 'a, T>(
    current: &OrdMap<K, Arc<T>>,
    kept: impl Iterator<Item = &'a K>,
) -> Vec<K> {
    let kept: BTreeSet<&K> = kept.collect();
    current.keys().filter(|key| !kept.contains(key)).cloned().collect()
}

/// The names to delete that exist.
fn named<'a, T>(
    current: &OrdMap<Name, Arc<T>>,
    kind: &'static str,
    names: Vec<Name>,
    put: impl Iterator<Item = &'a Name>,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Name> {
    if names.is_empty() {
        return names;
    }
    let put: BTreeSet<&Name> = put.collect();
    let list = format!("delete{kind}");
    let at = At::root(&list);
    let mut gone = BTreeSet::new();
    for name in names {
        if put.contains(&name) {
            let message = "is deleted and put in one change; choose one";
            problems.add("deleted_and_put", at.name(&name), message);
        } else if !current.contains_key(&name) {
            warnings.push(format!("{}: there is no such object; nothing was deleted", at.name(&name)));
        } else {
            gone.insert(name);
        }
    }
    gone.into_iter().collect()
}

/// The bindings to delete that are still of the generation that the deletion names.
fn released(
    current: &Policy,
    objects: &Objects,
    references: Vec<(IpAddr, u64)>,
    warnings: &mut Vec<String>,
) -> Vec<IpAddr> {
    if references.is_empty() {
        return Vec::new();
    }
    let put: BTreeSet<IpAddr> = objects.bindings.iter().map(|binding| binding.address).collect();
    let mut gone = BTreeSet::new();
    for (address, generation) in references {
        match current.bindings.get(&address) {
            None => warnings.push(format!(
                "deleteBindings[{address}]: the address is not bound; nothing was deleted"
            )),
            Some(held) if held.generation != generation => warnings.push(format!(
                "deleteBindings[{address}]: generation {generation} is not the one held, {}; nothing was deleted",
                held.generation
            )),
            // The put replaces what the deletion names.
            Some(_) if put.contains(&address) => {}
            Some(_) => {
                gone.insert(address);
            }
        }
    }
    gone.into_iter().collect()
}

/// An address that changed hands does not go back because an old message arrives late.
fn is_not_older(binding: &Binding, held: &Binding, problems: &mut Problems) {
    let list = At::root("bindings");
    let address = binding.address.to_string();
    let object = list.name(&address);
    let at = object.field("generation");
    if binding.generation < held.generation {
        let message = format!(
            "{} is older than generation {}, which is in force; raise it to change the binding",
            binding.generation, held.generation
        );
        problems.add("stale_generation", at, message);
    } else if binding.generation == held.generation && binding.bound != held.bound {
        let message = format!(
            "{} is in force with another holder; raise it when an address changes hands",
            held.generation
        );
        problems.add("generation_not_raised", at, message);
    }
}
