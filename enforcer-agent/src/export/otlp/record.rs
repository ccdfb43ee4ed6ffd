//! A record as a log record of OpenTelemetry. Where the semantic conventions have a word, it is theirs; else it begins with
//! `enforcer.`. The table is in `docs/export.md`.

use enforcer_proto::v1;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};

use super::attributes::{Attributes, text};

/// The log record. `node_run` tells records of one number apart that belong to different numberings.
pub(super) fn log_record(record: &v1::Record, node_run: &str, observed_ns: u64) -> LogRecord {
    let (severity, severity_text) = severity(record);
    let trace = record.tunnel.as_ref().and_then(|tunnel| trace_id(&tunnel.trace_id));
    LogRecord {
        time_unix_nano: record.time.as_ref().map_or(0, nanoseconds),
        observed_time_unix_nano: observed_ns,
        severity_number: severity.into(),
        severity_text,
        body: Some(text(body(record))),
        attributes: attributes(record, node_run),
        trace_id: trace.unwrap_or_default(),
        event_name: format!("enforcer.{}", record.r#type),
        ..LogRecord::default()
    }
}

/// Since the Unix epoch; 0 before it.
pub(super) fn nanoseconds(time: &prost_types::Timestamp) -> u64 {
    let seconds = u64::try_from(time.seconds).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.nanos).unwrap_or_default())
}

/// How bad it is, and the word of ours that says so.
fn severity(record: &v1::Record) -> (SeverityNumber, String) {
    let level = record.note.as_ref().map_or("", |note| note.level.as_str());
    let number = match (record.r#type.as_str(), record.verdict.as_str(), level) {
        ("alert", _, "high") => SeverityNumber::Error2,
        ("alert", _, "medium") => SeverityNumber::Error,
        ("alert", _, _) => SeverityNumber::Warn2,
        ("loss", _, _) => SeverityNumber::Error,
        ("log", _, "error") => SeverityNumber::Error,
        ("log", _, "warn") => SeverityNumber::Warn,
        ("log", _, "debug") => SeverityNumber::Debug,
        ("log", _, "trace") => SeverityNumber::Trace,
        (_, "deny", _) => SeverityNumber::Warn,
        (_, "audit", _) => SeverityNumber::Info2,
        (_, _, _) => SeverityNumber::Info,
    };
    let word = if record.verdict.is_empty() { level } else { &record.verdict };
    (number, word.to_owned())
}

/// A sentence for a person who reads a list of log records.
fn body(record: &v1::Record) -> String {
    if let Some(note) = &record.note {
        if !note.message.is_empty() {
            return note.message.clone();
        }
        return words(&[&record.r#type, &note.event, &note.subject]);
    }
    if record.lost_before > 0 && record.source.is_none() {
        return format!("{} records were lost: {}", record.lost_before, record.reason);
    }
    let end = |end: &Option<v1::Endpoint>| {
        let Some(end) = end else { return String::new() };
        let name = if end.workload.is_empty() {
            end.identity.clone()
        } else {
            format!("{}/{}", end.identity, end.workload)
        };
        let place = match (end.address.as_str(), end.port) {
            ("", 0) => String::new(),
            ("", port) => format!("port {port}"),
            (address, 0) => address.to_owned(),
            (address, port) if address.contains(':') => format!("[{address}]:{port}"),
            (address, port) => format!("{address}:{port}"),
        };
        words(&[&name, &place])
    };
    let (source, destination) = (end(&record.source), end(&record.destination));
    let arrow = if destination.is_empty() { "" } else { "->" };
    let device = record.device.as_ref().map_or("", |device| device.class.as_str());
    let event = record.flow.as_ref().map_or("", |flow| flow.event.as_str());
    words(&[
        &record.verdict,
        &record.r#type,
        event,
        &source,
        arrow,
        &destination,
        &record.protocol,
        &record.access,
        device,
        &record.reason,
    ])
}

/// What is not empty, with spaces between.
fn words(words: &[&str]) -> String {
    words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ")
}

fn attributes(record: &v1::Record, node_run: &str) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let v1::Record {
        sequence,
        time: _,
        node: _,
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
    let mut put = Attributes::default();
    // At least once means twice at times: by this a receiver knows. What was told to this subscriber alone has no number.
    if *sequence > 0 {
        put.text("log.record.uid", &format!("{node_run}/{sequence}"));
        put.count("enforcer.sequence", *sequence);
    }
    put.text("enforcer.type", r#type);
    put.text("enforcer.verdict", verdict);
    put.text("enforcer.reason", reason);
    put.text("enforcer.rule", rule);
    put.text("enforcer.rule.owner", rule_owner);
    put.text("enforcer.rule.shadow", shadow_rule);
    put.number("enforcer.policy.revision", *revision);
    put.text("enforcer.hook", hook);
    put.text("network.transport", &protocol.to_ascii_lowercase());
    put.text("network.type", network_type(source.as_ref().or(destination.as_ref())));
    source.iter().for_each(|end| endpoint(&mut put, "source", end));
    destination.iter().for_each(|end| endpoint(&mut put, "destination", end));
    icmp_type.iter().for_each(|number| put.count("enforcer.icmp.type", *number));
    icmp_code.iter().for_each(|number| put.count("enforcer.icmp.code", *number));
    process.iter().for_each(|process| self::process(&mut put, process));
    device.iter().for_each(|device| self::device(&mut put, device));
    put.text("enforcer.device.access", access);
    put.number("enforcer.lost_before", *lost_before);
    put.text("enforcer.carriage", carriage);
    tunnel.iter().for_each(|tunnel| self::tunnel(&mut put, tunnel));
    flow.iter().for_each(|facts| self::flow(&mut put, facts));
    note.iter().for_each(|note| self::note(&mut put, note));
    put.number("enforcer.boot_ns", *boot_ns);
    put.number("enforcer.time_error_ns", *time_error_ns);
    cpu.iter().for_each(|cpu| put.count("enforcer.cpu", *cpu));
    put.number("enforcer.cpu_sequence", *cpu_sequence);
    put.number("enforcer.socket.cookie", *cookie);
    put.bytes("enforcer.packet", packet);
    put.number("enforcer.packet.length", *packet_length);
    put.flag("enforcer.half", *half);
    put.done()
}

fn network_type(end: Option<&v1::Endpoint>) -> &'static str {
    match end.map(|end| end.address.parse::<std::net::IpAddr>()) {
        Some(Ok(std::net::IpAddr::V4(_))) => "ipv4",
        Some(Ok(std::net::IpAddr::V6(_))) => "ipv6",
        Some(Err(_)) | None => "",
    }
}

fn endpoint(put: &mut Attributes, side: &str, end: &v1::Endpoint) {
    let v1::Endpoint { identity, workload, address, port, spiffe_id, svid_serial, of_node } = end;
    put.text(&format!("{side}.address"), address);
    put.number(&format!("{side}.port"), *port);
    put.text(&format!("enforcer.{side}.identity"), identity);
    put.text(&format!("enforcer.{side}.workload"), workload);
    put.text(&format!("enforcer.{side}.spiffe_id"), spiffe_id);
    put.text(&format!("enforcer.{side}.svid_serial"), svid_serial);
    put.flag(&format!("enforcer.{side}.of_node"), *of_node);
}

fn process(put: &mut Attributes, process: &v1::Process) {
    let v1::Process {
        pid,
        command,
        cgroup_id,
        cgroup,
        start_boot_ns,
        executable,
        arguments,
        arguments_cut,
        uid,
        identity,
        ancestors,
        gap,
    } = process;
    put.number("process.pid", *pid);
    put.text("process.executable.name", executable.rsplit('/').next().unwrap_or_default());
    put.text("process.executable.path", executable);
    put.texts("process.command_args", arguments.iter().cloned());
    put.flag("enforcer.process.arguments_cut", *arguments_cut);
    // Nobody is user 0 of whom nothing is known.
    if !executable.is_empty() {
        put.count("process.user.id", *uid);
    }
    ancestors.first().into_iter().for_each(|parent| put.number("process.parent_pid", parent.pid));
    put.text("process.linux.cgroup", cgroup);
    put.number("enforcer.cgroup.id", *cgroup_id);
    put.text("enforcer.process.command", command);
    put.number("enforcer.process.start_boot_ns", *start_boot_ns);
    put.text("enforcer.process.identity", identity);
    let ancestor = |one: &v1::Ancestor| format!("{} {}", one.pid, one.executable);
    put.texts("enforcer.process.ancestors", ancestors.iter().map(ancestor));
    put.text("enforcer.process.gap", gap);
}

fn device(put: &mut Attributes, device: &v1::Device) {
    let v1::Device { class, kind, major, minor, role, granted_to } = device;
    put.text("enforcer.device.class", class);
    put.text("enforcer.device.kind", kind);
    put.count("enforcer.device.major", *major);
    minor.iter().for_each(|minor| put.count("enforcer.device.minor", *minor));
    put.text("enforcer.device.role", role);
    put.texts("enforcer.device.granted_to", granted_to.iter().cloned());
}

fn tunnel(put: &mut Attributes, facts: &v1::TunnelFacts) {
    let v1::TunnelFacts {
        event,
        direction,
        hop,
        source_id,
        source_serial,
        destination_id,
        destination_serial,
        trace_id: _,
        bytes_forward,
        bytes_back,
        end,
        resumed,
        reused,
        cookie,
        detail,
    } = facts;
    put.text("enforcer.tunnel.event", event);
    put.text("enforcer.tunnel.direction", direction);
    put.text("enforcer.tunnel.hop", hop);
    put.text("enforcer.tunnel.source_id", source_id);
    put.text("enforcer.tunnel.source_serial", source_serial);
    put.text("enforcer.tunnel.destination_id", destination_id);
    put.text("enforcer.tunnel.destination_serial", destination_serial);
    put.number("enforcer.tunnel.bytes_forward", *bytes_forward);
    put.number("enforcer.tunnel.bytes_back", *bytes_back);
    put.text("enforcer.tunnel.end", end);
    put.flag("enforcer.tunnel.resumed", *resumed);
    put.flag("enforcer.tunnel.reused", *reused);
    put.number("enforcer.tunnel.cookie", *cookie);
    put.text("enforcer.tunnel.detail", detail);
}

fn flow(put: &mut Attributes, facts: &v1::FlowFacts) {
    let v1::FlowFacts {
        event,
        state_before,
        state,
        bytes_sent,
        bytes_received,
        packets_sent,
        packets_received,
        tcp_flags,
        duration_ns,
    } = facts;
    put.text("enforcer.flow.event", event);
    put.text("enforcer.flow.state_before", state_before);
    put.text("network.connection.state", &connection_state(state));
    put.text("enforcer.flow.state", state);
    put.number("enforcer.flow.bytes_sent", *bytes_sent);
    put.number("enforcer.flow.bytes_received", *bytes_received);
    put.number("enforcer.flow.packets_sent", *packets_sent);
    put.number("enforcer.flow.packets_received", *packets_received);
    put.number("enforcer.flow.tcp_flags", *tcp_flags);
    put.number("enforcer.flow.duration_ns", *duration_ns);
}

/// The conventions' word for a TCP state: `established`, `close_wait`, `fin_wait_1`.
fn connection_state(state: &str) -> String {
    match state {
        "ESTAB" => "established".to_owned(),
        "LISTEN" | "SYN-SENT" | "LAST-ACK" | "CLOSING" | "TIME-WAIT" | "CLOSE-WAIT" => {
            state.to_ascii_lowercase().replace('-', "_")
        }
        "SYN-RECV" => "syn_received".to_owned(),
        "FIN-WAIT-1" => "fin_wait_1".to_owned(),
        "FIN-WAIT-2" => "fin_wait_2".to_owned(),
        "UNCONN" | "CLOSE" => "closed".to_owned(),
        _ => String::new(),
    }
}

fn note(put: &mut Attributes, note: &v1::Note) {
    let v1::Note { event, subject, actor, level, message: _, fields } = note;
    put.text("enforcer.note.event", event);
    put.text("enforcer.note.subject", subject);
    put.text("enforcer.note.actor", actor);
    put.text("enforcer.note.level", level);
    for v1::Field { name, value } in fields {
        put.text(&format!("enforcer.note.field.{name}"), value);
    }
}

/// The sixteen bytes of a W3C trace ID; `None` for anything else, and for the one that means none.
fn trace_id(text: &str) -> Option<Vec<u8>> {
    if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let bytes = u128::from_str_radix(text, 16).ok()?.to_be_bytes();
    bytes.iter().any(|byte| *byte != 0).then(|| bytes.to_vec())
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    fn value<'a>(record: &'a LogRecord, key: &str) -> Option<&'a Value> {
        let found = record.attributes.iter().find(|attribute| attribute.key == key)?;
        found.value.as_ref()?.value.as_ref()
    }

    fn string(text: &str) -> Value {
        Value::StringValue(text.to_owned())
    }

    fn refused() -> v1::Record {
        v1::Record {
            sequence: 42,
            time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5 }),
            r#type: "flow".to_owned(),
            verdict: "deny".to_owned(),
            reason: "no_rule".to_owned(),
            protocol: "TCP".to_owned(),
            source: Some(v1::Endpoint {
                identity: "red".to_owned(),
                workload: "web".to_owned(),
                address: "10.0.0.1".to_owned(),
                port: 4000,
                ..Default::default()
            }),
            destination: Some(v1::Endpoint {
                identity: "blue".to_owned(),
                address: "fd00::2".to_owned(),
                port: 5432,
                ..Default::default()
            }),
            process: Some(v1::Process {
                pid: 7,
                executable: "/usr/bin/psql".to_owned(),
                arguments: vec!["psql".to_owned(), "-h".to_owned()],
                ancestors: vec![v1::Ancestor {
                    pid: 3,
                    executable: "/bin/sh".to_owned(),
                    ..Default::default()
                }],
                ..Default::default()
            }),
            packet: vec![0x45, 0],
            cookie: u64::MAX,
            ..Default::default()
        }
    }

    #[test]
    fn a_refused_flow_has_the_words_of_the_conventions() {
        let log = log_record(&refused(), "n1/0", 9);
        assert_eq!(log.time_unix_nano, 1_700_000_000_000_000_005);
        assert_eq!((log.observed_time_unix_nano, log.event_name.as_str()), (9, "enforcer.flow"));
        assert_eq!((log.severity_number, log.severity_text.as_str()), (SeverityNumber::Warn.into(), "deny"));
        let body = log.body.as_ref().unwrap().value.as_ref();
        assert_eq!(body, Some(&string("deny flow red/web 10.0.0.1:4000 -> blue [fd00::2]:5432 TCP no_rule")));
        for (key, expected) in [
            ("log.record.uid", string("n1/0/42")),
            ("source.address", string("10.0.0.1")),
            ("source.port", Value::IntValue(4000)),
            ("destination.address", string("fd00::2")),
            ("destination.port", Value::IntValue(5432)),
            ("network.transport", string("tcp")),
            ("network.type", string("ipv4")),
            ("process.pid", Value::IntValue(7)),
            ("process.parent_pid", Value::IntValue(3)),
            ("process.executable.path", string("/usr/bin/psql")),
            ("process.executable.name", string("psql")),
            ("process.user.id", Value::IntValue(0)),
            ("enforcer.source.identity", string("red")),
            ("enforcer.socket.cookie", string("18446744073709551615")),
            ("enforcer.packet", Value::BytesValue(vec![0x45, 0])),
        ] {
            assert_eq!(value(&log, key), Some(&expected), "{key}");
        }
        assert_eq!(value(&log, "enforcer.rule"), None, "what is empty is left out");
    }

    #[test]
    fn a_tunnel_carries_its_trace_and_nonsense_is_none() {
        let tunnel = |trace: &str| v1::Record {
            tunnel: Some(v1::TunnelFacts { trace_id: trace.to_owned(), ..Default::default() }),
            ..Default::default()
        };
        let log = log_record(&tunnel("0af7651916cd43dd8448eb211c80319c"), "n1/0", 0);
        assert_eq!(log.trace_id[..3], [0x0a, 0xf7, 0x65]);
        assert_eq!(log.trace_id.len(), 16);
        for nonsense in ["", "0af7", &"0".repeat(32), &"+".repeat(32), &"ä".repeat(16)] {
            assert!(log_record(&tunnel(nonsense), "n1/0", 0).trace_id.is_empty(), "{nonsense}");
        }
    }

    #[test]
    fn severity_follows_type_verdict_and_level() {
        let of = |kind: &str, verdict: &str, level: &str| {
            let note =
                (!level.is_empty()).then(|| v1::Note { level: level.to_owned(), ..Default::default() });
            severity(&v1::Record {
                r#type: kind.to_owned(),
                verdict: verdict.to_owned(),
                note,
                ..Default::default()
            })
            .0
        };
        assert_eq!(of("flow", "allow", ""), SeverityNumber::Info);
        assert_eq!(of("device", "deny", ""), SeverityNumber::Warn);
        assert_eq!(of("flow", "audit", ""), SeverityNumber::Info2);
        assert_eq!(of("loss", "", ""), SeverityNumber::Error);
        assert_eq!(of("log", "", "error"), SeverityNumber::Error);
        assert_eq!(of("alert", "", "high"), SeverityNumber::Error2);
    }
}
