//! What goes on record: findings as alerts, steps of a revocation, sweeps that were too slow.

use enforcer_core::detect::alert::{ACTOR, ALERT};
use enforcer_core::device::class::Role;
use enforcer_core::device::ledger::{Change, Key, Kind, Observation, device_name, title};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::table::DeviceTable;
use enforcer_core::policy::model::UnixNanos;
use enforcer_proto::v1;
use tracing::{info, warn};

use super::desk::Desk;

/// A finding that began or ended.
pub(super) fn finding(desk: &Desk, change: &Change, table: &DeviceTable, now: UnixNanos) {
    let (event, key, observation, since) = match change {
        Change::Began(key, observation, since) => ("raised", key, observation, since),
        Change::Ended(key, observation, since) => ("ended", key, observation, since),
    };
    let name = title(table, key.device);
    match change {
        Change::Began(..) => warn!(kind = key.kind.word(), device = name, "{}", observation.message),
        Change::Ended(..) => info!(kind = key.kind.word(), device = name, "over: {}", observation.message),
    }
    let lasted = now.saturating_sub(*since) / 1_000_000_000;
    let tenants: Vec<&str> = observation.tenants.iter().map(String::as_str).collect();
    let fields = [("device", name), ("tenants", tenants.join(",")), ("lastsSeconds", lasted.to_string())];
    (desk.parts.tell)(v1::Record {
        r#type: ALERT.to_owned(),
        source: concerned(key, observation),
        device: Some(device(table, key.device)),
        note: Some(v1::Note {
            event: event.to_owned(),
            subject: key.kind.word().to_owned(),
            actor: ACTOR.to_owned(),
            level: key.kind.level().to_owned(),
            message: observation.message.clone(),
            fields: fields
                .into_iter()
                .map(|(name, value)| v1::Field { name: name.to_owned(), value })
                .collect(),
        }),
        ..blank(desk, now)
    });
}

/// The tenant who may see the record: of findings that speak of one tenant alone. The others name somebody else as well.
fn concerned(key: &Key, observation: &Observation) -> Option<v1::Endpoint> {
    let is_of_one = matches!(key.kind, Kind::HolderWithoutGrant | Kind::GrantWithoutHolder);
    let tenant = observation.tenants.first().filter(|_| is_of_one && observation.tenants.len() == 1)?;
    Some(v1::Endpoint { identity: tenant.clone(), ..v1::Endpoint::default() })
}

/// Something that the room did to devices, or could not do.
pub(super) fn deed(desk: &Desk, table: &DeviceTable, one: Option<DeviceNumber>, note: v1::Note) {
    (desk.parts.tell)(v1::Record {
        r#type: "device".to_owned(),
        device: one.map(|one| device(table, one)),
        note: Some(note),
        ..blank(desk, (desk.parts.clock)())
    });
}

fn blank(desk: &Desk, now: UnixNanos) -> v1::Record {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(now);
    v1::Record { time: Some(time.into()), node: desk.parts.node.clone(), ..v1::Record::default() }
}

fn device(table: &DeviceTable, device: DeviceNumber) -> v1::Device {
    let v1::DeviceName { class, kind, major, minor, .. } = device_name(table, device);
    let role = table.role(&class).map_or("never", Role::name).to_owned();
    v1::Device { class, kind, major, minor: Some(minor), role, granted_to: Vec::new() }
}
