//! Where devices are between two tenants, in the table that the gate asks.

use std::collections::BTreeMap;

use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::EnforceError;

use super::error::kernel;
use super::tables::Tables;

/// Writes it, or takes it out.
pub(super) fn set(
    tables: &mut Tables,
    device: DeviceNumber,
    custody: Option<GateCustody>,
) -> Result<(), EnforceError> {
    let key = device.custody_key();
    match custody {
        Some(custody) => tables.custody.insert(key, custody.value(), 0).map_err(kernel("write", "CUSTODY")),
        None if tables.custody.get(&key, 0).is_err() => Ok(()),
        None => tables.custody.remove(&key).map_err(kernel("delete from", "CUSTODY")),
    }
}

/// Everything the table holds.
pub(super) fn held(tables: &Tables) -> Result<BTreeMap<DeviceNumber, GateCustody>, EnforceError> {
    let mut held = BTreeMap::new();
    for entry in tables.custody.iter() {
        let (key, value) = entry.map_err(kernel("read", "CUSTODY"))?;
        let Some(device) = DeviceNumber::from_words(key.kind, key.major, key.minor) else { continue };
        held.insert(device, GateCustody::from_value(value));
    }
    Ok(held)
}

/// Forgets which control groups held a device.
pub(super) fn forget_touched(tables: &mut Tables, device: DeviceNumber) -> Result<(), EnforceError> {
    let mut gone = Vec::new();
    for key in tables.touched.keys() {
        let key = key.map_err(kernel("read", "TOUCHED"))?;
        if DeviceNumber::from_words(key.kind, key.major, key.minor) == Some(device) {
            gone.push(key);
        }
    }
    for key in &gone {
        tables.touched.remove(key).map_err(kernel("delete from", "TOUCHED"))?;
    }
    Ok(())
}
