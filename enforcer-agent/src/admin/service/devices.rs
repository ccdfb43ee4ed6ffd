//! The gated devices of the node, and who may open them.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::maps::MINOR_ANY;
use enforcer_core::device::class::{Kind, Role};
use enforcer_core::policy::compile::node::{numbered_services, services};
use enforcer_core::policy::image::DeviceRegion;
use enforcer_proto::v1;

use crate::door::policy::InForce;

/// Every gated number with its class, role and holders.
pub(super) fn list(in_force: &InForce) -> Vec<v1::Device> {
    let table = &in_force.facts.devices;
    let holders = holders(in_force);
    let mut regions: BTreeSet<DeviceRegion> = table.all_regions().into_iter().collect();
    regions.extend(holders.keys());
    regions
        .into_iter()
        .filter_map(|region| {
            let kind = Kind::from_number(region.kind)?;
            let class = table.class_of(kind, region.major, region.minor)?;
            Some(v1::Device {
                class: class.to_owned(),
                kind: kind.name().to_owned(),
                major: region.major,
                minor: (region.minor != MINOR_ANY).then_some(region.minor),
                role: table.role(class).map_or("never", Role::name).to_owned(),
                granted_to: holders.get(&region).cloned().unwrap_or_default(),
            })
        })
        .collect()
}

/// Who was granted what: tenants by name, then host services.
fn holders(in_force: &InForce) -> BTreeMap<DeviceRegion, Vec<String>> {
    let mut holders: BTreeMap<DeviceRegion, Vec<String>> = BTreeMap::new();
    let table = &in_force.facts.devices;
    for tenant in in_force.current.policy.tenants.values() {
        for grant in &tenant.devices {
            for region in table.resolve(&grant.class, grant.minors.as_deref()).unwrap_or_default() {
                holders.entry(region).or_default().push(tenant.name.to_string());
            }
        }
    }
    let granted = services(&in_force.facts);
    for (number, service) in numbered_services(&in_force.facts) {
        for region in granted.get(&number).into_iter().flat_map(BTreeMap::keys) {
            holders.entry(*region).or_default().push(format!("service:{}", service.name));
        }
    }
    holders
}
