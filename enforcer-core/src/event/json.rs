//! A record as JSON: the one place that names its fields. camelCase, in the order in which one reads them; what is empty,
//! zero or false is left out, but for `sequence`, and for numbers that are absent when they are not known.

use enforcer_proto::v1;
use serde::Serialize;
use serde_json::{Map, Value};

mod parts;

use parts::{Device, Endpoint, Flow, Note, Process, Tunnel, is_false, is_zero, is_zero_u32};

/// A record that serialises as the object that logs, exports and `enforcerctl -o json` show. It borrows: nothing is
/// copied.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Json<'a> {
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    node: &'a str,
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    verdict: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule_owner: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    shadow_rule: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    revision: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    hook: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Endpoint<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    protocol: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    cookie: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<Flow<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Process<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Device<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    access: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    carriage: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<Tunnel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Note<'a>>,
    /// Hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    packet: String,
    #[serde(skip_serializing_if = "is_zero_u32")]
    packet_length: u32,
    #[serde(skip_serializing_if = "is_false")]
    half: bool,
    #[serde(skip_serializing_if = "is_zero")]
    boot_ns: u64,
    #[serde(skip_serializing_if = "is_zero")]
    time_error_ns: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<u32>,
    #[serde(skip_serializing_if = "is_zero")]
    cpu_sequence: u64,
    #[serde(skip_serializing_if = "is_zero")]
    lost_before: u64,
}

/// The record as an object.
#[must_use]
pub fn map(record: &v1::Record) -> Map<String, Value> {
    match serde_json::to_value(Json::from(record)) {
        Ok(Value::Object(map)) => map,
        // Text and numbers under names that are text cannot fail.
        Ok(_) | Err(_) => Map::new(),
    }
}

/// The record as one line, without its end: nothing in it can break out of the line.
#[must_use]
pub fn line(record: &v1::Record) -> String {
    serde_json::to_string(&Json::from(record)).unwrap_or_default()
}

impl<'a> From<&'a v1::Record> for Json<'a> {
    fn from(record: &'a v1::Record) -> Self {
        let v1::Record {
            sequence,
            time,
            node,
            r#type,
            verdict,
            reason,
            rule,
            shadow_rule,
            revision,
            hook,
            source,
            destination,
            protocol,
            icmp_type,
            icmp_code,
            process,
            device,
            access,
            lost_before,
            carriage,
            tunnel,
            boot_ns,
            time_error_ns,
            cpu,
            cpu_sequence,
            cookie,
            packet,
            packet_length,
            flow,
            note,
            half,
            rule_owner,
        } = record;
        Self {
            sequence: *sequence,
            time: time.as_ref().map(ToString::to_string),
            node,
            kind: r#type,
            verdict,
            reason,
            rule,
            rule_owner,
            shadow_rule,
            revision: *revision,
            hook,
            source: source.as_ref().map(Endpoint::from),
            destination: destination.as_ref().map(Endpoint::from),
            protocol,
            icmp_type: *icmp_type,
            icmp_code: *icmp_code,
            cookie: *cookie,
            flow: flow.as_ref().map(Flow::from),
            process: process.as_ref().map(Process::from),
            device: device.as_ref().map(Device::from),
            access,
            carriage,
            tunnel: tunnel.as_ref().map(Tunnel::from),
            note: note.as_ref().map(Note::from),
            packet: hex(packet),
            packet_length: *packet_length,
            half: *half,
            boot_ns: *boot_ns,
            time_error_ns: *time_error_ns,
            cpu: *cpu,
            cpu_sequence: *cpu_sequence,
            lost_before: *lost_before,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble & 15)).map_or('?', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_nothing_can_break_out_of_the_line() {
        let record = v1::Record {
            sequence: 7,
            time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
            r#type: "device".to_owned(),
            verdict: "deny".to_owned(),
            process: Some(v1::Process {
                pid: 4,
                command: "a\"\n{".to_owned(),
                cgroup_id: 9,
                cgroup: "/p".to_owned(),
                arguments: vec!["-x".to_owned()],
                ..v1::Process::default()
            }),
            device: Some(v1::Device { class: "nvidia".to_owned(), minor: Some(0), ..v1::Device::default() }),
            icmp_code: Some(0),
            packet: vec![0x45, 0, 0xff],
            ..v1::Record::default()
        };
        let line = line(&record);
        assert!(!line.contains('\n'));
        let expected = json!({
            "sequence": 7,
            "time": "2027-01-15T08:00:00Z",
            "type": "device",
            "verdict": "deny",
            "process": { "pid": 4, "command": "a\"\n{", "arguments": ["-x"], "cgroupId": 9, "cgroup": "/p" },
            "device": { "class": "nvidia", "minor": 0 },
            "icmpCode": 0,
            "packet": "4500ff",
        });
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap(), expected);
        assert_eq!(Value::Object(map(&record)), expected);
        assert!(line.starts_with("{\"sequence\":7,\"time\":"));
        assert_eq!(Value::Object(map(&v1::Record::default())), json!({ "sequence": 0 }));
    }

    #[test]
    fn each_end_of_a_tunnel_has_its_certificate() {
        let record = v1::Record {
            tunnel: Some(v1::TunnelFacts {
                event: "closed".to_owned(),
                source_id: "spiffe://a/x".to_owned(),
                source_serial: "0a".to_owned(),
                destination_id: String::new(),
                resumed: true,
                ..v1::TunnelFacts::default()
            }),
            ..v1::Record::default()
        };
        assert_eq!(
            Value::Object(map(&record))["tunnel"],
            json!({
                "event": "closed",
                "source": { "spiffeId": "spiffe://a/x", "serial": "0a" },
                "resumed": true,
            })
        );
    }

    #[test]
    fn a_note_has_its_fields_in_order() {
        let field = |name: &str| v1::Field { name: name.to_owned(), value: "v".to_owned() };
        let note = v1::Note {
            event: "raised".to_owned(),
            fields: vec![field("b"), field("a"), field("b")],
            ..v1::Note::default()
        };
        let record = v1::Record { note: Some(note), ..v1::Record::default() };
        assert_eq!(
            line(&record),
            "{\"sequence\":0,\"note\":{\"event\":\"raised\",\"fields\":[{\"name\":\"b\",\"value\":\"v\"},\
             {\"name\":\"a\",\"value\":\"v\"},{\"name\":\"b\",\"value\":\"v\"}]}}"
        );
    }
}
