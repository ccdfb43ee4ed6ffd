//! Records as lines of JSON in the agent's log: the evidence that outlives the agent's memory.

use enforcer_common::verdict;
use enforcer_core::event::record::FLOW;
use enforcer_proto::v1;
use serde_json::{Map, Value, json};

/// The `tracing` target of these lines: filter by it.
pub const TARGET: &str = "enforcer::record";

/// Everything but samples of allowed flows.
pub(super) fn is_security(record: &v1::Record) -> bool {
    record.r#type != FLOW || record.verdict != verdict::action_name(verdict::ALLOW)
}

/// Writes one line.
pub(super) fn write(record: &v1::Record) {
    tracing::info!(target: TARGET, "{}", line(record));
}

/// The record as one line; what is empty is left out.
fn line(record: &v1::Record) -> String {
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
        ..
    } = record;
    let mut line = Map::new();
    let mut put = |key: &str, value: Value| {
        let is_empty = value.is_null() || value == "" || value == json!({}) || value == json!([]);
        if !is_empty {
            line.insert(key.to_owned(), value);
        }
    };
    put("sequence", json!(sequence));
    put("time", json!(time.as_ref().map(ToString::to_string)));
    put("node", json!(node));
    put("type", json!(r#type));
    put("verdict", json!(verdict));
    put("reason", json!(reason));
    put("rule", json!(rule));
    put("shadowRule", json!(shadow_rule));
    put("revision", json!(revision));
    put("hook", json!(hook));
    put("source", json!(source.as_ref().map(endpoint)));
    put("destination", json!(destination.as_ref().map(endpoint)));
    put("protocol", json!(protocol));
    put("icmpType", json!(icmp_type));
    put("icmpCode", json!(icmp_code));
    put("process", json!(process.as_ref().map(process_fields)));
    put("device", json!(device.as_ref().map(device_fields)));
    put("access", json!(access));
    put("carriage", json!(carriage));
    put("tunnel", json!(tunnel.as_ref().map(tunnel_fields)));
    put("lostBefore", if *lost_before == 0 { Value::Null } else { json!(lost_before) });
    Value::Object(line).to_string()
}

fn tunnel_fields(facts: &v1::TunnelFacts) -> Value {
    let v1::TunnelFacts {
        event,
        direction,
        hop,
        source_id,
        source_serial,
        destination_id,
        destination_serial,
        trace_id,
        bytes_forward,
        bytes_back,
        end,
        resumed,
        reused,
        cookie,
        detail,
    } = facts;
    json!({
        "event": event,
        "direction": direction,
        "hop": hop,
        "sourceId": source_id,
        "sourceSerial": source_serial,
        "destinationId": destination_id,
        "destinationSerial": destination_serial,
        "traceId": trace_id,
        "bytesForward": bytes_forward,
        "bytesBack": bytes_back,
        "end": end,
        "resumed": resumed,
        "reused": reused,
        "cookie": cookie,
        "detail": detail,
    })
}

fn endpoint(endpoint: &v1::Endpoint) -> Value {
    let v1::Endpoint { identity, workload, address, port, .. } = endpoint;
    json!({ "identity": identity, "workload": workload, "address": address, "port": port })
}

fn process_fields(process: &v1::Process) -> Value {
    let v1::Process { pid, command, cgroup_id, cgroup, .. } = process;
    json!({ "pid": pid, "command": command, "cgroupId": cgroup_id, "cgroup": cgroup })
}

fn device_fields(device: &v1::Device) -> Value {
    let v1::Device { class, kind, major, minor, role, granted_to: _ } = device;
    json!({ "class": class, "kind": kind, "major": major, "minor": minor, "role": role })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_what_the_record_does_and_nothing_can_break_out_of_it() {
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
                ..v1::Process::default()
            }),
            ..v1::Record::default()
        };
        let line = line(&record);
        assert!(!line.contains('\n'));
        assert_eq!(
            serde_json::from_str::<Value>(&line).unwrap(),
            json!({
                "sequence": 7,
                "time": "2027-01-15T08:00:00Z",
                "type": "device",
                "verdict": "deny",
                "revision": 0,
                "process": { "pid": 4, "command": "a\"\n{", "cgroupId": 9, "cgroup": "/p" },
            })
        );
    }

    #[test]
    fn only_samples_of_allowed_flows_are_no_lines() {
        let of = |kind: &str, verdict: &str| v1::Record {
            r#type: kind.to_owned(),
            verdict: verdict.to_owned(),
            ..v1::Record::default()
        };
        assert!(!is_security(&of("flow", "allow")));
        for record in [of("flow", "deny"), of("flow", "audit"), of("device", "allow"), of("loss", "")] {
            assert!(is_security(&record));
        }
    }
}
