//! From the tables as they are to the tables as they should be, entry by entry.

use std::collections::BTreeMap;

use enforcer_common::maps::GrantValue;

use crate::policy::image::{DeviceRegion, Image, Plan};

/// The plan from an image that was read back to the one that is wanted: for the start, and for drift.
#[must_use]
pub fn plan_from_image(held: &Image, wanted: &Image) -> Plan {
    let tenants = changes(&held.tenants, &wanted.tenants);
    let addresses = changes(&held.addresses, &wanted.addresses);
    let mut plan = Plan {
        tenants_write: tenants.write.into_iter().map(|(_, tenant)| tenant).collect(),
        tenants_remove: tenants.remove,
        addresses_write: addresses.write,
        addresses_remove: addresses.remove,
        ..Plan::default()
    };
    plan_node(held, wanted, &mut plan);
    plan
}

/// The part of a plan that concerns the node alone: interfaces, cgroups, gates and host services.
pub(super) fn plan_node(held: &Image, wanted: &Image, plan: &mut Plan) {
    let interfaces = changes(&held.interfaces, &wanted.interfaces);
    plan.interfaces_write = interfaces.write;
    plan.interfaces_remove = interfaces.remove;
    let cgroups = changes(&held.cgroups, &wanted.cgroups);
    plan.cgroups_write = cgroups.write;
    plan.cgroups_remove = cgroups.remove;
    let gates = changes(&held.gates, &wanted.gates);
    plan.gates_write = gates.write;
    plan.gates_remove = gates.remove;
    plan.services_write = service_changes(&held.services, &wanted.services);
}

struct Changes<K, V> {
    write: Vec<(K, V)>,
    remove: Vec<K>,
}

fn changes<K: Ord + Clone, V: PartialEq + Clone>(
    held: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
) -> Changes<K, V> {
    let is_new = |(key, value): &(&K, &V)| held.get(key) != Some(value);
    let write = wanted.iter().filter(is_new).map(|(key, value)| (key.clone(), value.clone()));
    let remove = held.keys().filter(|key| !wanted.contains_key(key)).cloned();
    Changes { write: write.collect(), remove: remove.collect() }
}

type Services = BTreeMap<u32, BTreeMap<DeviceRegion, GrantValue>>;

fn service_changes(held: &Services, wanted: &Services) -> Vec<(u32, BTreeMap<DeviceRegion, GrantValue>)> {
    let Changes { write, remove } = changes(held, wanted);
    let removed = remove.into_iter().map(|service| (service, BTreeMap::new()));
    let mut services: Vec<_> = write.into_iter().chain(removed).collect();
    services.sort_by_key(|(service, _)| *service);
    services
}
