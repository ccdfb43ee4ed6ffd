//! Devices that a change of policy would open to somebody to whom they were not handed: closed before it is in force.

use std::collections::{BTreeMap, BTreeSet};

use super::{DeviceKey, Granted};
use crate::device::holding::GateCustody;
use crate::device::number::DeviceNumber;
use crate::device::table::DeviceTable;
use crate::policy::model::{Policy, Tier};

/// To whom a policy grants a device.
#[must_use]
pub fn granted(policy: &Policy, key: &DeviceKey) -> (Granted, BTreeMap<String, u32>) {
    let mut granted = Granted { tenants: BTreeSet::new(), all_share: true };
    let mut ids = BTreeMap::new();
    for tenant in policy.tenants.values() {
        let has = tenant.devices.iter().any(|grant| {
            *grant.class == *key.class
                && grant.minors.as_ref().is_some_and(|minors| minors.contains(&key.number))
        });
        if has {
            granted.tenants.insert(tenant.name.to_string());
            granted.all_share &= tenant.tier == Tier::Shared;
            ids.insert(tenant.name.to_string(), tenant.id);
        }
    }
    (granted, ids)
}

/// What of that which the gate holds open must be closed before `after` follows on `before`: what is open to everybody
/// who is granted it, when somebody more is. What is open to one tenant's number is nobody else's: a policy never gives a
/// number a second time.
#[must_use]
pub fn to_close(
    held: &BTreeMap<DeviceNumber, GateCustody>,
    table: &DeviceTable,
    before: &Policy,
    after: &Policy,
) -> Vec<DeviceNumber> {
    let gains = |device: &DeviceNumber| match table.index_of(device.kind, device.major, device.minor) {
        None => true,
        Some((class, number)) => {
            let key = DeviceKey { class: class.to_owned(), number };
            !granted(after, &key).0.tenants.is_subset(&granted(before, &key).0.tenants)
        }
    };
    let granted_to_all = held.iter().filter(|(_, gate)| **gate == GateCustody::Granted);
    granted_to_all.map(|(device, _)| *device).filter(gains).collect()
}
