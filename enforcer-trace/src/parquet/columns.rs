//! The table of columns: what each is called, what it holds, how it is taken out of a record and put back, and how it
//! is packed. Whatever reads or writes a file goes through it, so a field has one place where it is spelled.
//!
//! Columns are flat and may be null. A message within a record has one column that is a value whenever the message is
//! there, so that an empty message and none stay apart.

use enforcer_proto::v1::Record;

use super::cell::{Cell as _, Whole as _};
use super::instant::{from_nanoseconds, nanoseconds};
use super::lists;

/// One column.
pub(super) struct Column {
    /// As query engines call it.
    pub(super) name: &'static str,
    pub(super) packing: Packing,
    pub(super) access: Access,
}

/// How values are laid out before they are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Few different values: a dictionary and indices into it.
    Dictionary,
    /// Numbers that grow, or hardly change: differences, in as few bits as they need.
    Delta,
    /// Values that do not repeat.
    Plain,
}

/// Type, and the way from a record and back.
pub(super) enum Access {
    /// INT64, TIMESTAMP(NANOS, UTC).
    Instant { get: fn(&Record) -> Option<i64>, put: fn(&mut Record, i64) },
    /// INT64.
    Signed { get: fn(&Record) -> Option<i64>, put: fn(&mut Record, i64) },
    /// INT64, unsigned.
    Number { get: fn(&Record) -> Option<u64>, put: fn(&mut Record, u64) },
    /// INT32, unsigned.
    Small { get: fn(&Record) -> Option<u32>, put: fn(&mut Record, u32) },
    /// BOOLEAN.
    Flag { get: fn(&Record) -> Option<bool>, put: fn(&mut Record, bool) },
    /// BYTE_ARRAY, STRING.
    Text { get: for<'a> fn(&'a Record) -> Option<&'a str>, put: fn(&mut Record, String) },
    /// BYTE_ARRAY, JSON.
    Json { get: fn(&Record) -> Option<String>, put: fn(&mut Record, &str) -> Result<(), serde_json::Error> },
    /// BYTE_ARRAY.
    Bytes { get: for<'a> fn(&'a Record) -> Option<&'a [u8]>, put: fn(&mut Record, Vec<u8>) },
}

/// `kind packing "name": field`, `kind packing "name": message.field`, where `always` says that the column is a value
/// whenever the message is there.
macro_rules! column {
    ($kind:ident $packing:ident $name:literal: $field:ident) => {
        Column {
            name: $name,
            packing: Packing::$packing,
            access: Access::$kind { get: |r| r.$field.given(), put: |r, value| r.$field.put(value) },
        }
    };
    ($kind:ident $packing:ident $name:literal: $field:ident always) => {
        Column {
            name: $name,
            packing: Packing::$packing,
            access: Access::$kind { get: |r| Some(r.$field.whole()), put: |r, value| r.$field.put(value) },
        }
    };
    ($kind:ident $packing:ident $name:literal: $message:ident.$field:ident) => {
        Column {
            name: $name,
            packing: Packing::$packing,
            access: Access::$kind {
                get: |r| r.$message.as_ref().and_then(|message| message.$field.given()),
                put: |r, value| r.$message.get_or_insert_default().$field.put(value),
            },
        }
    };
    ($kind:ident $packing:ident $name:literal: $message:ident.$field:ident always) => {
        Column {
            name: $name,
            packing: Packing::$packing,
            access: Access::$kind {
                get: |r| r.$message.as_ref().map(|message| message.$field.whole()),
                put: |r, value| r.$message.get_or_insert_default().$field.put(value),
            },
        }
    };
}

/// `list "name": message.field, text, parse`
macro_rules! list {
    ($name:literal: $message:ident.$field:ident, $text:ident, $parse:ident) => {
        Column {
            name: $name,
            packing: Packing::Dictionary,
            access: Access::Json {
                get: |r| r.$message.as_ref().and_then(|message| lists::$text(&message.$field)),
                put: |r, text| {
                    r.$message.get_or_insert_default().$field = lists::$parse(text)?;
                    Ok(())
                },
            },
        }
    };
}

/// Every column, in the order of the file. `time` comes before `boot_offset_ns`, which is put back with its help.
pub(super) static COLUMNS: &[Column] = &[
    column!(Number Delta "sequence": sequence always),
    Column {
        name: "time",
        packing: Packing::Delta,
        access: Access::Instant {
            get: |r| r.time.as_ref().map(nanoseconds),
            put: |r, value| r.time = Some(from_nanoseconds(value)),
        },
    },
    // `time` - `boot_ns`. The two clocks go side by side, so that the difference costs nothing to store, where a second
    // clock costs as much as the first.
    Column {
        name: "boot_offset_ns",
        packing: Packing::Delta,
        access: Access::Signed { get: boot_offset, put: put_boot_offset },
    },
    column!(Number Dictionary "time_error_ns": time_error_ns),
    column!(Text Dictionary "node": node),
    column!(Text Dictionary "type": r#type),
    column!(Text Dictionary "verdict": verdict),
    column!(Text Dictionary "reason": reason),
    column!(Text Dictionary "rule": rule),
    column!(Text Dictionary "rule_owner": rule_owner),
    column!(Text Dictionary "shadow_rule": shadow_rule),
    column!(Number Dictionary "revision": revision),
    column!(Text Dictionary "hook": hook),
    column!(Flag Plain "half": half always),
    column!(Number Dictionary "lost_before": lost_before),
    column!(Text Dictionary "source_identity": source.identity always),
    column!(Flag Plain "source_of_node": source.of_node always),
    column!(Text Dictionary "source_workload": source.workload),
    column!(Text Dictionary "source_address": source.address),
    column!(Small Plain "source_port": source.port),
    column!(Text Dictionary "source_spiffe_id": source.spiffe_id),
    column!(Text Dictionary "source_svid_serial": source.svid_serial),
    column!(Text Dictionary "destination_identity": destination.identity always),
    column!(Flag Plain "destination_of_node": destination.of_node always),
    column!(Text Dictionary "destination_workload": destination.workload),
    column!(Text Dictionary "destination_address": destination.address),
    column!(Small Dictionary "destination_port": destination.port),
    column!(Text Dictionary "destination_spiffe_id": destination.spiffe_id),
    column!(Text Dictionary "destination_svid_serial": destination.svid_serial),
    column!(Text Dictionary "protocol": protocol),
    column!(Small Dictionary "icmp_type": icmp_type),
    column!(Small Dictionary "icmp_code": icmp_code),
    column!(Text Dictionary "carriage": carriage),
    column!(Small Dictionary "process_pid": process.pid always),
    column!(Number Dictionary "process_start_boot_ns": process.start_boot_ns),
    column!(Text Dictionary "process_command": process.command),
    column!(Text Dictionary "process_executable": process.executable),
    list!("process_arguments": process.arguments, words, parse_words),
    column!(Flag Plain "process_arguments_cut": process.arguments_cut always),
    column!(Small Dictionary "process_uid": process.uid always),
    column!(Number Dictionary "process_cgroup_id": process.cgroup_id),
    column!(Text Dictionary "process_cgroup": process.cgroup),
    column!(Text Dictionary "process_identity": process.identity),
    list!("process_ancestors": process.ancestors, ancestors, parse_ancestors),
    column!(Text Dictionary "process_gap": process.gap),
    column!(Text Dictionary "device_class": device.class always),
    column!(Text Dictionary "device_kind": device.kind),
    column!(Small Dictionary "device_major": device.major always),
    column!(Small Dictionary "device_minor": device.minor),
    column!(Text Dictionary "device_role": device.role),
    list!("device_granted_to": device.granted_to, words, parse_words),
    column!(Text Dictionary "access": access),
    column!(Small Dictionary "cpu": cpu),
    column!(Number Delta "cpu_sequence": cpu_sequence),
    column!(Number Delta "cookie": cookie),
    column!(Text Dictionary "flow_event": flow.event always),
    column!(Text Dictionary "flow_state_before": flow.state_before),
    column!(Text Dictionary "flow_state": flow.state),
    column!(Number Delta "flow_bytes_sent": flow.bytes_sent),
    column!(Number Delta "flow_bytes_received": flow.bytes_received),
    column!(Number Dictionary "flow_packets_sent": flow.packets_sent),
    column!(Number Dictionary "flow_packets_received": flow.packets_received),
    column!(Small Dictionary "flow_tcp_flags": flow.tcp_flags),
    column!(Number Delta "flow_duration_ns": flow.duration_ns),
    column!(Text Dictionary "tunnel_event": tunnel.event always),
    column!(Text Dictionary "tunnel_direction": tunnel.direction),
    column!(Text Dictionary "tunnel_hop": tunnel.hop),
    column!(Text Dictionary "tunnel_source_id": tunnel.source_id),
    column!(Text Dictionary "tunnel_source_serial": tunnel.source_serial),
    column!(Text Dictionary "tunnel_destination_id": tunnel.destination_id),
    column!(Text Dictionary "tunnel_destination_serial": tunnel.destination_serial),
    column!(Text Plain "tunnel_trace_id": tunnel.trace_id),
    column!(Number Delta "tunnel_bytes_forward": tunnel.bytes_forward),
    column!(Number Delta "tunnel_bytes_back": tunnel.bytes_back),
    column!(Text Dictionary "tunnel_end": tunnel.end),
    column!(Flag Plain "tunnel_resumed": tunnel.resumed always),
    column!(Flag Plain "tunnel_reused": tunnel.reused always),
    column!(Number Delta "tunnel_cookie": tunnel.cookie),
    column!(Text Dictionary "tunnel_detail": tunnel.detail),
    column!(Text Dictionary "note_event": note.event always),
    column!(Text Dictionary "note_subject": note.subject),
    column!(Text Dictionary "note_actor": note.actor),
    column!(Text Dictionary "note_level": note.level),
    column!(Text Dictionary "note_message": note.message),
    list!("note_fields": note.fields, fields, parse_fields),
    column!(Bytes Plain "packet": packet),
    column!(Small Dictionary "packet_length": packet_length),
];

/// The names of all columns.
pub fn names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|column| column.name)
}

/// True for the name of a column.
#[must_use]
pub fn has_column(name: &str) -> bool {
    names().any(|known| known == name)
}

fn boot_offset(record: &Record) -> Option<i64> {
    let time = record.time.as_ref().map_or(0, nanoseconds);
    (record.boot_ns != 0).then(|| time.wrapping_sub(record.boot_ns.cast_signed()))
}

fn put_boot_offset(record: &mut Record, offset: i64) {
    let time = record.time.as_ref().map_or(0, nanoseconds);
    record.boot_ns = time.wrapping_sub(offset).cast_unsigned();
}

/// A record with some of its columns.
#[cfg(test)]
pub(crate) fn project(record: &Record, wanted: impl Fn(&str) -> bool) -> Record {
    let mut part = Record::default();
    for column in COLUMNS.iter().filter(|column| wanted(column.name)) {
        copy(&column.access, record, &mut part);
    }
    part
}

#[cfg(test)]
fn copy(access: &Access, from: &Record, to: &mut Record) {
    match access {
        Access::Instant { get, put } | Access::Signed { get, put } => {
            get(from).into_iter().for_each(|value| put(to, value));
        }
        Access::Number { get, put } => get(from).into_iter().for_each(|value| put(to, value)),
        Access::Small { get, put } => get(from).into_iter().for_each(|value| put(to, value)),
        Access::Flag { get, put } => get(from).into_iter().for_each(|value| put(to, value)),
        Access::Text { get, put } => get(from).into_iter().for_each(|value| put(to, value.to_owned())),
        Access::Json { get, put } => get(from).into_iter().for_each(|value| put(to, &value).unwrap()),
        Access::Bytes { get, put } => get(from).into_iter().for_each(|value| put(to, value.to_vec())),
    }
}
