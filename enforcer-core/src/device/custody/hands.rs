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
/// who is granted it, when somebody more is; and what is open to a tenant's number, when the number is another's.
#[must_use]
pub fn to_close(
    held: &BTreeMap<DeviceNumber, GateCustody>,
    table: &DeviceTable,
    before: &Policy,
    after: &Policy,
) -> Vec<DeviceNumber> {
    let changes_hands = |(device, gate): (&DeviceNumber, &GateCustody)| match gate {
        GateCustody::Closed => false,
        GateCustody::Owner(id) => {
            let name = after.index.tenant_by_id.get(id);
            name.is_some() && name != before.index.tenant_by_id.get(id)
        }
        GateCustody::Granted => match table.index_of(device.kind, device.major, device.minor) {
            None => true,
            Some((class, number)) => {
                let key = DeviceKey { class: class.to_owned(), number };
                !granted(after, &key).0.tenants.is_subset(&granted(before, &key).0.tenants)
            }
        },
    };
    let closed = held.iter().filter(|entry| changes_hands((entry.0, entry.1)));
    closed.map(|(device, _)| *device).collect()
}
