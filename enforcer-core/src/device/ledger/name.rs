//! Devices as messages and as people name them.

use enforcer_proto::v1;

use crate::device::class::{self, Naming, UNASSIGNED};
use crate::device::number::DeviceNumber;
use crate::device::table::DeviceTable;

/// Class, number within it, and the kernel's number.
#[must_use]
pub fn device_name(table: &DeviceTable, device: DeviceNumber) -> v1::DeviceName {
    let DeviceNumber { kind, major, minor } = device;
    let span = table.span_of(kind, major, minor);
    let is_single =
        |number| class::by_number(number).is_some_and(|of| matches!(of.naming, Naming::Single(_)));
    let number = span
        .filter(|span| !is_single(span.class) && span.class != class::UNASSIGNED_NUMBER)
        .map(|span| minor.saturating_sub(span.first).saturating_add(span.index));
    v1::DeviceName {
        class: table.class_of(kind, major, minor).unwrap_or(UNASSIGNED).to_owned(),
        number,
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
