//! Records of events, word by word.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_common::address::from_v4;
use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE, KIND_CHAR};
use enforcer_common::event::{
    HOOK_CGROUP_ATTACH, HOOK_DEVICE, Header, KIND_DEVICE_REFUSED, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED,
    KIND_PROCESS_EXIT, KIND_SERVICE_ENTERED, KIND_SOCKET_END, ProcessEvent, SOCKET_PASSIVE, SocketEvent,
};
use enforcer_common::identity;
use enforcer_common::maps::{FIRST_RULE, RULE_TUNNEL};

use super::*;
use crate::event::clock::Reading;
use crate::node::{Attachment, HostService, NodeFacts};
use crate::policy::model::{
    Action, DataClassification, Holder, Mode, Name, Peer, Policy, Rule, Tenant, Tier, Workload,
};

const RED: u32 = 16;
const BLUE: u32 = 17;
const BOOT_OFFSET_NS: i64 = 1_800_000_000_000_000_000;

fn add_tenant(policy: &mut Policy, name: &str, id: u32) {
    let tenant = Tenant {
        name: name.into(),
        id,
        tier: Tier::Shared,
        data_classification: DataClassification::Internal,
        mode: Mode::Enforce,
        platform_service: false,
        egress: Vec::new(),
        devices: Vec::new(),
    };
    policy.index.tenant_by_id.insert(id, name.into());
    policy.tenants.insert(name.into(), Arc::new(tenant));
}

fn add_workload(policy: &mut Policy, name: &str, tenant: &str, address: [u8; 4]) {
    let workload = Workload {
        name: name.into(),
        tenant: tenant.into(),
        node: None,
        cgroup: Some(format!("/pods/{name}")),
        interface: None,
        network_namespace: None,
        host_network: false,
        addresses: vec![address.into()],
        namespace: String::new(),
        service_account: String::new(),
        lease_until: None,
        encapsulations: 0,
    };
    policy.index.holder.insert(address.into(), Holder::Workload(name.into()));
    policy.workloads.insert(name.into(), Arc::new(workload));
}

fn scene() -> Scene {
    let mut policy = Policy::default();
    add_tenant(&mut policy, "red", RED);
    add_tenant(&mut policy, "blue", BLUE);
    add_workload(&mut policy, "red-a", "red", [10, 0, 0, 1]);
    add_workload(&mut policy, "blue-a", "blue", [10, 0, 0, 2]);
    policy.index.rule_numbers.insert(FIRST_RULE, "web-to-db".into());
    policy.index.rule_numbers.insert(FIRST_RULE + 1, "trial".into());
    let at =
        |interface, cgroup| Attachment { interface: Some(interface), cgroup: Some(cgroup), tunnel: None };
    let facts = NodeFacts {
        name: "node-1".to_owned(),
        attachments: BTreeMap::from([(Name::from("red-a"), at(7, 700)), (Name::from("blue-a"), at(8, 800))]),
        services: vec![HostService { name: "dcgm".to_owned(), cgroup: 900, classes: Vec::new() }],
        ..NodeFacts::default()
    };
    Scene::new(5, Arc::new(policy), Arc::new(facts))
}

fn clock() -> Clock {
    Clock::new(Reading { boot_ns: 0, offset_ns: BOOT_OFFSET_NS, error_ns: 30 })
}

/// As the code under test does it, with a scene of the tests' own.
fn record(event: &Event, scene: &Scene, cgroup_path: Option<&str>) -> v1::Record {
    super::record(event, &Context { scene, clock: &clock(), cgroup_path })
}

fn with(make: impl Fn(&Context<'_>) -> v1::Record) -> v1::Record {
    make(&Context { scene: &scene(), clock: &clock(), cgroup_path: None })
}

fn header(kind: u16) -> Header {
    Header { boot_ns: 1_500_000_000, kind, ..Header::default() }
}

fn refused() -> Event {
    Event {
        header: header(KIND_FLOW_REFUSED),
        revision: 5,
        source: from_v4([10, 0, 0, 1]),
        destination: from_v4([10, 0, 0, 2]),
        source_identity: RED,
        destination_identity: BLUE,
        rule: FIRST_RULE,
        interface: 7,
        source_port: 40_000,
        destination_port: 5432,
        reason: reason::RULE_DENIED,
        protocol: 6,
        hook: HOOK_FROM_WORKLOAD,
        action: verdict::DENY,
        shadow_action: verdict::DENY,
        ..Event::default()
    }
}

#[test]
fn a_refused_flow_says_who_whom_which_rule_and_why() {
    let expected = v1::Record {
        time: Some(prost_types::Timestamp { seconds: 1_800_000_001, nanos: 500_000_000 }),
        node: "node-1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: "deny".to_owned(),
        reason: "rule_denied".to_owned(),
        rule: "web-to-db".to_owned(),
        revision: 5,
        hook: "from_workload".to_owned(),
        source: Some(v1::Endpoint {
            identity: "red".to_owned(),
            workload: "red-a".to_owned(),
            address: "10.0.0.1".to_owned(),
            port: 40_000,
            ..Default::default()
        }),
        destination: Some(v1::Endpoint {
            identity: "blue".to_owned(),
            workload: "blue-a".to_owned(),
            address: "10.0.0.2".to_owned(),
            port: 5432,
            ..Default::default()
        }),
        protocol: "TCP".to_owned(),
        boot_ns: 1_500_000_000,
        time_error_ns: 30,
        cpu: Some(0),
        ..v1::Record::default()
    };
    assert_eq!(record(&refused(), &scene(), None), expected);
}

#[test]
fn an_allowed_flow_of_a_rule_for_mutual_tls_says_that_it_stayed_on_the_node() {
    let with_rule = |mtls_required| {
        let mut policy = Policy::clone(&scene().policy);
        let rule = Rule {
            name: "web-to-db".into(),
            from: Peer::Tenant("red".into()),
            to: Peer::Tenant("blue".into()),
            ports: None,
            action: Action::Allow,
            mode: Mode::Enforce,
            mtls_required,
            mtls_always: false,
            carried_by: Vec::new(),
        };
        policy.rules.insert(Name::clone(&rule.name), Arc::new(rule));
        Scene::new(5, Arc::new(policy), Arc::clone(&scene().facts))
    };
    let allowed = Event {
        header: header(KIND_FLOW_ALLOWED),
        action: verdict::ALLOW,
        shadow_action: verdict::ALLOW,
        reason: reason::NONE,
        ..refused()
    };
    let plaintext = Event { reason: reason::MTLS_REQUIRED, ..refused() };
    let audited = Event { action: verdict::AUDIT, ..plaintext };
    let carrying = Event { rule: RULE_TUNNEL, ..allowed };
    let carriage = |event: &Event, mtls_required| record(event, &with_rule(mtls_required), None).carriage;
    assert_eq!(carriage(&allowed, true), "one-node");
    assert_eq!(carriage(&allowed, false), "");
    for event in [&plaintext, &audited, &carrying] {
        assert_eq!(carriage(event, true), "", "{event:?}");
    }
    assert_eq!(record(&carrying, &scene(), None).rule, "tunnel");
    assert_eq!(record(&allowed, &with_rule(true), None).rule_owner, "blue");
    assert_eq!(record(&carrying, &with_rule(true), None).rule_owner, "");
}

#[test]
fn a_forged_source_is_blamed_on_the_interface_and_not_on_the_victim() {
    let event = Event {
        source: from_v4([10, 0, 0, 2]),
        interface: 7,
        reason: reason::SOURCE_NOT_OWN,
        rule: 0,
        ..refused()
    };
    let source = record(&event, &scene(), None).source.unwrap();
    assert_eq!((source.identity.as_str(), source.workload.as_str()), ("red", "red-a"));
    assert_eq!(source.address, "10.0.0.2");
    // At the receiving end the interface is the receiver's, and the address is not the sender's.
    let event = Event { hook: HOOK_TO_WORKLOAD, interface: 8, ..event };
    let record = record(&event, &scene(), None);
    assert_eq!(record.source.unwrap().workload, "");
    assert_eq!(record.destination.unwrap().workload, "blue-a");
}

#[test]
fn icmp_has_type_and_code_and_no_ports() {
    let event = Event { protocol: 58, destination_port: 0x8003, source_port: 99, ..refused() };
    let record = record(&event, &scene(), None);
    assert_eq!((record.icmp_type, record.icmp_code), (Some(128), Some(3)));
    assert_eq!((record.source.unwrap().port, record.destination.unwrap().port), (0, 0));
    assert_eq!(record.protocol, "ICMPv6");
}

#[test]
fn a_connect_names_process_and_workload_by_control_group_also_below_it() {
    let event = Event {
        hook: HOOK_CONNECT,
        cgroup: 700,
        source: [0; 16],
        source_port: 0,
        process: 4321,
        command: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
        ..refused()
    };
    let own = record(&event, &scene(), Some("/pods/red-a"));
    assert_eq!(own.source.as_ref().unwrap().workload, "red-a");
    assert_eq!(own.source.unwrap().address, "");
    assert_eq!(
        own.process,
        Some(v1::Process {
            pid: 4321,
            command: "curl".to_owned(),
            cgroup_id: 700,
            cgroup: "/pods/red-a".to_owned(),
            ..Default::default()
        })
    );
    let nested = Event { cgroup: 701, ..event };
    assert_eq!(record(&nested, &scene(), Some("/pods/red-a/inner")).source.unwrap().workload, "red-a");
    assert_eq!(record(&nested, &scene(), Some("/pods/red-ab")).source.unwrap().workload, "");
    assert_eq!(record(&nested, &scene(), None).source.unwrap().workload, "");
}

#[test]
fn a_refused_device_names_class_role_access_and_tenant() {
    let event = Event {
        header: Header { boot_ns: 0, ..header(KIND_DEVICE_REFUSED) },
        cgroup: 800,
        source_identity: BLUE,
        process: 12,
        major: 195,
        minor: 0,
        class: device::class::by_name("nvidia").unwrap().number,
        reason: reason::DEVICE_NOT_GRANTED,
        hook: HOOK_DEVICE,
        action: verdict::AUDIT,
        access: u8::try_from(ACCESS_READ | ACCESS_WRITE).unwrap(),
        device_kind: u8::try_from(KIND_CHAR).unwrap(),
        ..Event::default()
    };
    let record = record(&event, &scene(), Some("/pods/blue-a"));
    assert_eq!(record.r#type, "device");
    assert_eq!((record.verdict.as_str(), record.reason.as_str()), ("audit", "device_not_granted"));
    assert_eq!((record.rule.as_str(), record.access.as_str()), ("no-rule-matched", "read+write"));
    let source = record.source.unwrap();
    assert_eq!((source.identity.as_str(), source.workload.as_str()), ("blue", "blue-a"));
    assert_eq!(record.destination, None);
    assert_eq!(
        record.device,
        Some(v1::Device {
            class: "nvidia".to_owned(),
            kind: "char".to_owned(),
            major: 195,
            minor: Some(0),
            role: "accelerator".to_owned(),
            granted_to: Vec::new(),
        })
    );
}

#[test]
fn an_entered_service_is_named_and_has_no_verdict() {
    let event = Event {
        header: header(KIND_SERVICE_ENTERED),
        hook: HOOK_CGROUP_ATTACH,
        source_identity: RED,
        destination_identity: identity::FIRST_SERVICE,
        cgroup: 900,
        process: 77,
        ..Event::default()
    };
    let record = record(&event, &scene(), None);
    assert_eq!((record.r#type.as_str(), record.verdict.as_str()), ("service", ""));
    assert_eq!(record.source.unwrap().identity, "red");
    assert_eq!(record.destination.unwrap().identity, "dcgm");
    assert_eq!(record.process.unwrap().pid, 77);
}

#[test]
fn what_is_unknown_is_kept_and_marked() {
    let event = Event {
        header: header(99),
        hook: 42,
        reason: 9999,
        rule: 1_000_000,
        shadow_rule: FIRST_RULE + 1,
        source_identity: 5_000,
        destination_identity: identity::FIRST_SERVICE + 3,
        protocol: 200,
        action: 9,
        major: 1,
        device_kind: 9,
        ..refused()
    };
    let record = record(&event, &scene(), None);
    assert_eq!(record.r#type, "unknown-99");
    assert_eq!((record.hook.as_str(), record.reason.as_str()), ("hook-42", "reason-9999"));
    assert_eq!((record.rule.as_str(), record.shadow_rule.as_str()), ("rule-1000000", "trial"));
    assert_eq!(record.source.unwrap().identity, "identity-5000");
    assert_eq!(record.destination.unwrap().identity, "identity-16777219");
    assert_eq!((record.protocol.as_str(), record.verdict.as_str()), ("200", "unassigned"));
    assert_eq!(record.device.unwrap().kind, "9");
}

#[test]
fn an_allowed_flow_has_no_reason() {
    let event = Event {
        header: header(KIND_FLOW_ALLOWED),
        action: verdict::ALLOW,
        reason: reason::NONE,
        rule: enforcer_common::maps::RULE_INTRA_TENANT,
        ..refused()
    };
    let record = record(&event, &scene(), None);
    assert_eq!((record.verdict.as_str(), record.reason.as_str()), ("allow", ""));
    assert_eq!(record.rule, "intra-tenant");
}

#[test]
fn a_socket_that_was_accepted_is_the_destination_and_says_what_its_end_moved() {
    let event = SocketEvent {
        header: Header { cpu: 3, sequence: 9, ..header(KIND_SOCKET_END) },
        cgroup: 800,
        cookie: 44,
        since_ns: 500_000_000,
        bytes_sent: 10,
        bytes_received: 20,
        local: from_v4([10, 0, 0, 2]),
        remote: from_v4([10, 0, 0, 1]),
        identity: BLUE,
        remote_identity: RED,
        process: 5,
        segments_out: 1,
        segments_in: 2,
        local_port: 80,
        remote_port: 40_000,
        old_state: 9,
        new_state: 7,
        flags: SOCKET_PASSIVE,
        ..SocketEvent::default()
    };
    let told = with(|context| of_socket(&event, context));
    let (source, destination) = (told.source.unwrap(), told.destination.unwrap());
    assert_eq!((source.workload.as_str(), source.port), ("red-a", 40_000));
    assert_eq!((destination.workload.as_str(), destination.port), ("blue-a", 80));
    let flow = told.flow.unwrap();
    assert_eq!(
        (flow.event.as_str(), flow.state_before.as_str(), flow.state.as_str()),
        ("closed", "LAST-ACK", "UNCONN")
    );
    assert_eq!((flow.bytes_sent, flow.packets_received, flow.duration_ns), (10, 2, 1_000_000_000));
    assert_eq!(
        (told.hook.as_str(), told.cookie, told.cpu, told.cpu_sequence),
        ("socket_passive", 44, Some(3), 9)
    );
    let active = with(|context| of_socket(&SocketEvent { flags: 0, ..event }, context));
    assert_eq!(active.source.unwrap().workload, "blue-a");
}

#[test]
fn a_process_that_ends_says_how() {
    let event = ProcessEvent {
        header: header(KIND_PROCESS_EXIT),
        process: 5,
        cgroup: 700,
        identity: RED,
        exit_code: 0x0109,
        ..ProcessEvent::default()
    };
    let told = with(|context| of_process(&event, context));
    assert_eq!(told.source.unwrap().workload, "red-a");
    let note = told.note.unwrap();
    let fields: Vec<_> =
        note.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect();
    assert_eq!(
        (note.event.as_str(), fields.as_slice()),
        ("exit", [("status", "1"), ("signal", "9")].as_slice())
    );
}

#[test]
fn a_refused_packet_comes_with_its_first_bytes_and_a_kind_nobody_knows_with_its_time() {
    let mut packet = PacketEvent { event: refused(), length: 900, captured: 2, ..PacketEvent::default() };
    packet.bytes[..2].copy_from_slice(&[0x45, 7]);
    packet.event.tcp_flags = 2;
    let told = with(|context| of_packet(&packet, context));
    assert_eq!((told.packet.as_slice(), told.packet_length), ([0x45, 7].as_slice(), 900));
    assert_eq!(told.flow.map(|flow| (flow.event, flow.tcp_flags)), Some(("opened".to_owned(), 2)));
    let unknown = with(|context| of_unknown(&header(77), context));
    assert_eq!((unknown.r#type.as_str(), unknown.boot_ns), ("unknown-77", 1_500_000_000));
}
