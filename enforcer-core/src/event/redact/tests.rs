//! What survives in a half, over records that are full of words of two tenants.

use proptest::prelude::*;

use super::*;

/// A word of a tenant: it can be recognised wherever it turns up.
fn word(tenant: &str, what: &str) -> String {
    format!("{tenant}~{what}")
}

fn end(tenant: &str, address: &str, port: u32) -> v1::Endpoint {
    v1::Endpoint {
        identity: tenant.to_owned(),
        workload: word(tenant, "workload"),
        address: address.to_owned(),
        port,
        spiffe_id: word(tenant, "spiffe"),
        svid_serial: word(tenant, "serial"),
        of_node: false,
    }
}

fn process(tenant: &str) -> v1::Process {
    v1::Process {
        pid: 7,
        command: word(tenant, "command"),
        cgroup_id: 9,
        cgroup: word(tenant, "cgroup"),
        start_boot_ns: 5,
        executable: word(tenant, "executable"),
        arguments: vec![word(tenant, "argument")],
        arguments_cut: true,
        uid: 3,
        identity: tenant.to_owned(),
        ancestors: vec![v1::Ancestor { pid: 1, start_boot_ns: 1, executable: word(tenant, "parent") }],
        gap: word(tenant, "gap"),
    }
}

fn note(tenant: &str) -> v1::Note {
    v1::Note {
        event: "raised".to_owned(),
        subject: word(tenant, "subject"),
        actor: word(tenant, "actor"),
        level: "warn".to_owned(),
        message: word(tenant, "message"),
        fields: vec![v1::Field { name: "n".to_owned(), value: word(tenant, "value") }],
    }
}

fn packet() -> Vec<u8> {
    let mut bytes = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0x26, 0xcd, 10, 0, 0, 1, 10, 0, 0, 2];
    bytes.extend([0x9c, 0x40, 0x15, 0x38, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

/// A record between red and blue in which `actor` acts, and `owner` owns the rule. Everything belongs to one of them.
fn between(actor: &'static str, owner: &'static str) -> v1::Record {
    let is_source = actor == "red";
    v1::Record {
        sequence: 41,
        time: Some(prost_types::Timestamp { seconds: 1, nanos: 2 }),
        node: "node-1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: "deny".to_owned(),
        reason: "cross_tenant_no_rule".to_owned(),
        rule: if owner.is_empty() { "no-rule-matched".to_owned() } else { word(owner, "rule") },
        shadow_rule: word("blue", "shadow"),
        revision: 3,
        hook: "from_workload".to_owned(),
        source: Some(end("red", "10.0.0.1", 40_000)),
        destination: Some(end("blue", "10.0.0.2", 5_432)),
        protocol: "TCP".to_owned(),
        icmp_type: Some(8),
        icmp_code: Some(0),
        process: Some(process(actor)),
        device: Some(v1::Device { class: word(actor, "device"), ..v1::Device::default() }),
        access: word(actor, "access"),
        lost_before: 1,
        carriage: "tunnel".to_owned(),
        tunnel: Some(v1::TunnelFacts {
            event: "closed".to_owned(),
            direction: if is_source { "outbound" } else { "inbound" }.to_owned(),
            hop: "native".to_owned(),
            source_id: word("red", "id"),
            source_serial: word("red", "leaf"),
            destination_id: word("blue", "id"),
            destination_serial: word("blue", "leaf"),
            trace_id: "07".repeat(16),
            bytes_forward: 1,
            bytes_back: 2,
            end: "clean".to_owned(),
            resumed: true,
            reused: true,
            cookie: 99,
            detail: word(actor, "detail"),
        }),
        boot_ns: 4,
        time_error_ns: 5,
        cpu: Some(1),
        cpu_sequence: 6,
        cookie: 99,
        packet: packet(),
        packet_length: 40,
        flow: Some(v1::FlowFacts {
            event: "closed".to_owned(),
            state: "CLOSED".to_owned(),
            bytes_sent: 7,
            tcp_flags: 2,
            ..v1::FlowFacts::default()
        }),
        note: Some(note(actor)),
        half: false,
        rule_owner: owner.to_owned(),
    }
}

fn told(record: &v1::Record) -> String {
    format!("{record:?}")
}

#[test]
fn the_sources_half_has_the_service_and_not_who_serves() {
    let half = redact(&between("red", "blue"), "red").unwrap();
    assert!(half.half);
    assert_eq!(half.source, Some(end("red", "10.0.0.1", 40_000)));
    let other = v1::Endpoint { identity: ANOTHER_TENANT.to_owned(), port: 5_432, ..v1::Endpoint::default() };
    assert_eq!(half.destination, Some(other));
    assert_eq!((half.rule.as_str(), half.rule_owner.as_str(), half.shadow_rule.as_str()), ("", "", ""));
    assert_eq!(half.process, Some(process("red")));
    assert_eq!((half.packet.len(), half.cookie), (40, 99));
}

#[test]
fn the_destinations_half_has_its_rule_and_not_the_others_port() {
    let half = redact(&between("red", "blue"), "blue").unwrap();
    let other = v1::Endpoint { identity: ANOTHER_TENANT.to_owned(), ..v1::Endpoint::default() };
    assert_eq!(half.source, Some(other));
    assert_eq!(half.destination, Some(end("blue", "10.0.0.2", 5_432)));
    assert_eq!((half.rule.as_str(), half.rule_owner.as_str()), ("blue~rule", "blue"));
    assert_eq!((half.process, half.device, half.cookie, half.packet.len()), (None, None, 0, 0));
    assert_eq!(half.flow.unwrap().bytes_sent, 0);
}

#[test]
fn a_default_is_nobodys_and_stays() {
    for viewer in ["red", "blue"] {
        assert_eq!(redact(&between("red", ""), viewer).unwrap().rule, "no-rule-matched");
    }
    // Nobody said whose it is, so it is shown to nobody.
    let record = v1::Record { rule: "rule-17".to_owned(), ..between("red", "") };
    assert_eq!(redact(&record, "blue").unwrap().rule, "");
}

#[test]
fn what_concerns_one_tenant_is_whole_for_it_and_nothing_for_others() {
    for name in ["host", "world", "unknown", "remote-node"] {
        let other = v1::Endpoint { identity: name.to_owned(), ..v1::Endpoint::default() };
        let record = v1::Record { destination: Some(other), ..between("red", "red") };
        assert_eq!(viewers(&record).collect::<Vec<_>>(), ["red"]);
        assert_eq!(redact(&record, "red"), Some(record.clone()));
        assert_eq!(redact(&record, "blue"), None);
        assert_eq!(redact(&record, name), None);
    }
    let shared = Arc::new(v1::Record { destination: None, ..between("red", "red") });
    assert!(Arc::ptr_eq(&share(&shared, "red").unwrap(), &shared));
}

#[test]
fn a_service_of_the_node_is_no_tenant_though_it_has_a_tenants_name() {
    let service = v1::Endpoint { of_node: true, ..end("blue", "", 0) };
    let record = v1::Record { destination: Some(service), ..between("red", "red") };
    assert_eq!(viewers(&record).collect::<Vec<_>>(), ["red"]);
    assert_eq!(redact(&record, "blue"), None);
    assert_eq!(redact(&record, "red"), Some(record));
}

#[test]
fn what_belongs_to_the_node_is_no_tenants() {
    let log = v1::Record { r#type: "log".to_owned(), note: Some(note("red")), ..v1::Record::default() };
    assert_eq!(viewers(&log).count(), 0);
    assert_eq!(redact(&log, "red"), None);
    assert_eq!(redact(&log, ""), None);
    assert_eq!(redact(&between("red", ""), ANOTHER_TENANT), None);
}

#[test]
fn the_process_of_a_third_is_shown_to_neither() {
    let record = v1::Record { process: Some(process("green")), ..between("red", "blue") };
    for viewer in ["red", "blue"] {
        assert_eq!(redact(&record, viewer).unwrap().process, None);
    }
    let alone = v1::Record { destination: None, ..record };
    let half = redact(&alone, "red").unwrap();
    assert!(half.half && half.process.is_none());
}

#[test]
fn a_sentence_that_names_the_other_is_told_to_neither() {
    let mut record = between("red", "blue");
    record.note.as_mut().unwrap().message = "red wants blue".to_owned();
    record.tunnel.as_mut().unwrap().detail = "10.0.0.2 refused".to_owned();
    let half = redact(&record, "red").unwrap();
    assert_eq!((half.note.unwrap().message.as_str(), half.tunnel.unwrap().detail.as_str()), ("", ""));
}

#[test]
fn totals_are_of_both() {
    let record = v1::Record { r#type: TOTALS.to_owned(), process: None, ..between("red", "blue") };
    for viewer in ["red", "blue"] {
        assert_eq!(redact(&record, viewer).unwrap().flow.unwrap().bytes_sent, 7);
    }
}

#[test]
fn what_does_not_belong_together_is_not_joined() {
    let record = between("red", "blue");
    let red = redact(&record, "red").unwrap();
    let blue = redact(&record, "blue").unwrap();
    assert_eq!(join(&red, &record), Err(JoinError::Whole(41)));
    assert_eq!(join(&red, &red), Err(JoinError::SameSide(41)));
    assert_eq!(join(&red, &v1::Record { sequence: 42, ..blue }), Err(JoinError::Numbers(41, 42)));
}

fn tenants() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("red"), Just("blue")]
}

proptest! {
    #[test]
    fn no_word_of_the_other_tenant_survives_and_the_halves_are_the_whole(
        actor in tenants(),
        owner in prop_oneof![Just("blue"), Just("")],
        left_out in proptest::collection::vec(0..8_u8, 0..4),
        is_swapped in any::<bool>(),
    ) {
        let mut record = between(actor, owner);
        for field in left_out {
            match field {
                0 => record.process = None,
                1 => record.device = None,
                2 => record.tunnel = None,
                3 => record.note = None,
                4 => record.flow = None,
                5 => record.packet = Vec::new(),
                6 => record.rule = "intra-tenant".to_owned(),
                _ => record.shadow_rule = String::new(),
            }
        }
        if record.process.is_none() && actor == "blue" && record.tunnel.is_none() {
            record.hook = "socket_ingress".to_owned();
        }
        let red = redact(&record, "red").unwrap();
        let blue = redact(&record, "blue").unwrap();
        for (half, other, address) in [(&red, "blue", "10.0.0.2"), (&blue, "red", "10.0.0.1")] {
            let told = told(half);
            prop_assert!(!told.contains(other), "{}", told);
            prop_assert!(!told.contains(address), "{}", told);
            prop_assert_eq!(viewers(half).count(), 1);
        }
        let octets = [10, 0, 0, 2];
        prop_assert!(!red.packet.windows(4).any(|window| window == octets));
        prop_assert_eq!(redact(&red, "red"), Some(red.clone()));
        prop_assert_eq!(redact(&red, "blue"), None);
        let joined = if is_swapped { join(&blue, &red) } else { join(&red, &blue) };
        prop_assert_eq!(joined.unwrap(), record);
    }
}
