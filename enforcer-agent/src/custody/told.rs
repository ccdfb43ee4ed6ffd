//! What goes on record of a device's way.

use std::time::SystemTime;

use enforcer_core::device::custody::{Custody, DeviceKey, State};
use enforcer_core::device::number::DeviceNumber;
use enforcer_proto::v1;

/// Who does what nobody asked for.
pub(super) const AGENT: &str = "agent";

/// The record of a step.
pub(super) fn stepped(
    node: &str,
    (key, number): (&DeviceKey, Option<DeviceNumber>),
    custody: &Custody,
    actor: &str,
) -> v1::Record {
    let is_alert = custody.state == State::Failed;
    let field = |name: &str, value: String| v1::Field { name: name.to_owned(), value };
    let tenants =
        |names: &std::collections::BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(",");
    v1::Record {
        time: Some(SystemTime::now().into()),
        node: node.to_owned(),
        r#type: if is_alert { "alert" } else { "device" }.to_owned(),
        device: number.map(|number| v1::Device {
            class: key.class.clone(),
            kind: number.kind.name().to_owned(),
            major: number.major,
            minor: Some(number.minor),
            ..v1::Device::default()
        }),
        note: Some(v1::Note {
            event: if is_alert { "raised" } else { custody.state.word() }.to_owned(),
            subject: if is_alert { "custody".to_owned() } else { key.to_string() },
            actor: actor.to_owned(),
            level: if is_alert { "high" } else { "" }.to_owned(),
            message: format!("{key} is {}: {}", custody.state.word(), custody.reason),
            fields: vec![
                field("device", key.to_string()),
                field("tenants", tenants(&custody.tenants)),
                field("past", tenants(&custody.past)),
                field("receipt", custody.receipt.clone()),
            ],
        }),
        ..v1::Record::default()
    }
}
