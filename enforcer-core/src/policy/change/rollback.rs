//! An older revision as a change of the current one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::policy::model::{Binding, Bound, Policy};
use crate::policy::parse::wire::{Objects, Understood};

/// The objects that a rollback asks for, and what could not be brought along.
pub(super) fn objects(current: &Policy, older: &Policy) -> (Understood, Vec<String>) {
    let mut warnings = Vec::new();
    let mut bindings = Vec::with_capacity(current.bindings.len());
    for binding in current.bindings.values() {
        let chosen = newer(binding, older.bindings.get(&binding.address));
        match &chosen.bound {
            Bound::Tenant(tenant) if !older.tenants.contains_key(tenant) => warnings.push(format!(
                "bindings[{}]: dropped, for the older revision has no tenant '{tenant}'",
                chosen.address
            )),
            Bound::Tenant(_) | Bound::RemoteNode | Bound::Host => bindings.push(Arc::clone(chosen)),
        }
    }
    let gone = older.bindings.iter().filter(|(address, _)| !current.bindings.contains_key(*address));
    bindings.extend(gone.map(|(_, binding)| Arc::clone(binding)));
    let objects = Objects {
        tenants: older.tenants.values().cloned().collect(),
        workloads: older.workloads.values().cloned().collect(),
        rules: older.rules.values().cloned().collect(),
        bindings,
        retired_ids: Vec::new(),
    };
    let understood = Understood { objects, broken_tenants: BTreeSet::new(), ..Understood::default() };
    (understood, warnings)
}

/// An address that changed hands since does not go back.
fn newer<'a>(current: &'a Arc<Binding>, older: Option<&'a Arc<Binding>>) -> &'a Arc<Binding> {
    match older {
        Some(older) if older.generation >= current.generation => older,
        _ => current,
    }
}
