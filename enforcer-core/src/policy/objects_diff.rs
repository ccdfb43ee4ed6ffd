//! What differs between two policies, object by object, with the fields that differ. Costs what differs.

use std::fmt::Display;
use std::sync::Arc;

use enforcer_proto::v1;
use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::policy::model::{Binding, Policy, Rule, Tenant, Workload};

/// Every object that was added, changed or removed: tenants, workloads, rules, bindings, by name.
#[must_use]
pub fn objects_diff(before: &Policy, after: &Policy) -> Vec<v1::ObjectChange> {
    let mut changes = Vec::new();
    compare(&mut changes, "Tenant", &before.tenants, &after.tenants, tenant_fields);
    compare(&mut changes, "Workload", &before.workloads, &after.workloads, workload_fields);
    compare(&mut changes, "Rule", &before.rules, &after.rules, rule_fields);
    compare(&mut changes, "Binding", &before.bindings, &after.bindings, binding_fields);
    changes
}

type Fields = Vec<(&'static str, bool)>;

fn compare<K: Ord + Display, T: PartialEq>(
    changes: &mut Vec<v1::ObjectChange>,
    kind: &'static str,
    before: &OrdMap<K, Arc<T>>,
    after: &OrdMap<K, Arc<T>>,
    fields: fn(&T, &T) -> Fields,
) {
    changes.extend(before.diff(after).map(|item| {
        let (change, key, fields) = match item {
            DiffItem::Add(key, _) => ("added", key, Vec::new()),
            DiffItem::Remove(key, _) => ("removed", key, Vec::new()),
            DiffItem::Update { old: (_, old), new: (key, new) } => ("changed", key, fields(old, new)),
        };
        let differing = fields.into_iter().filter(|(_, differs)| *differs);
        v1::ObjectChange {
            change: change.to_owned(),
            kind: kind.to_owned(),
            name: key.to_string(),
            fields: differing.map(|(field, _)| field.to_owned()).collect(),
        }
    }));
}

/// Compares each field that two values destructure into: a new field breaks the build here.
macro_rules! differing {
    ($type:ident, $old:ident, $new:ident; $($field:ident => $word:literal),+ $(,)?) => {{
        let $type { $($field: _),+ } = $old;
        vec![$(($word, $old.$field != $new.$field)),+]
    }};
}

fn tenant_fields(old: &Tenant, new: &Tenant) -> Fields {
    differing!(Tenant, old, new;
        name => "name", id => "id", tier => "tier", data_classification => "dataClassification", mode => "mode",
        platform_service => "platformService", egress => "egress", devices => "devices")
}

fn workload_fields(old: &Workload, new: &Workload) -> Fields {
    differing!(Workload, old, new;
        name => "name", tenant => "tenant", node => "node", cgroup => "cgroup", interface => "interface",
        network_namespace => "networkNamespace", host_network => "hostNetwork", addresses => "addresses",
        namespace => "namespace", service_account => "serviceAccount", lease_until => "leaseUntil",
        encapsulations => "encapsulations")
}

fn rule_fields(old: &Rule, new: &Rule) -> Fields {
    differing!(Rule, old, new;
        name => "name", from => "from", to => "to", ports => "ports", action => "action", mode => "mode",
        mtls_required => "mtlsRequired", mtls_always => "mtlsAlways", carried_by => "carriedBy")
}

fn binding_fields(old: &Binding, new: &Binding) -> Fields {
    differing!(Binding, old, new;
        address => "address", bound => "holder", generation => "generation", lease_until => "leaseUntil")
}
