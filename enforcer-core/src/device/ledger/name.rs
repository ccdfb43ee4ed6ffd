//! Devices as messages and as people name them.

use enforcer_proto::v1;

use crate::device::class::{self, Naming, UNASSIGNED};
use crate::device::number::DeviceNumber;
use crate::device::table::DeviceTable;

/// Class, number within it, and the kernel's number.
#[must_use]
pub fn device_name(table: &DeviceTable, device: DeviceNumber) -> v1::DeviceName {
    let DeviceNumber { kind, major, minor } = device;
    let is_single = |name| class::by_name(name).is_some_and(|of| matches!(of.naming, Naming::Single(_)));
    let place = table.index_of(kind, major, minor).filter(|(class, _)| !is_single(class));
    v1::DeviceName {
        class: table.class_of(kind, major, minor).unwrap_or(UNASSIGNED).to_owned(),
        number: place.map(|(_, number)| number),
        kind: kind.name().to_owned(),
        major,
        minor,
    }
}

/// `nvidia:0`, as the command line takes it; `nvidiactl:0` for the only one of a class, `c 195:250` outside of every class.
#[must_use]
pub fn title(table: &DeviceTable, device: DeviceNumber) -> String {
    let name = device_name(table, device);
    match name.number {
        Some(number) => format!("{}:{number}", name.class),
        None if name.class == UNASSIGNED => device.to_string(),
        None => format!("{}:0", name.class),
    }
}
