//! Records for tests. Every message is written out field by field, so that a new field breaks the build here and, once
//! it is filled in, the round trip until it has a column.

use enforcer_proto::v1;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::from_nanoseconds;

/// Any record whatever.
pub(crate) fn any_record() -> BoxedStrategy<v1::Record> {
    (
        (any_facts(), any_words(), any_marks()),
        (option::of(any_endpoint()), option::of(any_endpoint()), option::of(any_process())),
        (option::of(any_device()), option::of(any_tunnel()), option::of(any_flow()), option::of(any_note())),
    )
        .prop_map(|(facts, ends, rest)| {
            let ((sequence, time, boot_ns, time_error_ns, cpu, cpu_sequence, cookie), words, marks) = facts;
            let [
                node,
                kind,
                verdict,
                reason,
                rule,
                shadow_rule,
                hook,
                protocol,
                access,
                carriage,
                rule_owner,
            ] = words;
            let (revision, icmp_type, icmp_code, lost_before, packet, packet_length, half) = marks;
            let (source, destination, process) = ends;
            let (device, tunnel, flow, note) = rest;
            v1::Record {
                sequence,
                time,
                node,
                r#type: kind,
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
            }
        })
        .boxed()
}

type Facts = (u64, Option<prost_types::Timestamp>, u64, u64, Option<u32>, u64, u64);

fn any_facts() -> BoxedStrategy<Facts> {
    let time = option::of(any::<i64>().prop_map(from_nanoseconds));
    (number(), time, number(), number(), any::<Option<u32>>(), number(), number()).boxed()
}

fn any_words() -> BoxedStrategy<[String; 11]> {
    proptest::array::uniform(text()).boxed()
}

type Marks = (u64, Option<u32>, Option<u32>, u64, Vec<u8>, u32, bool);

fn any_marks() -> BoxedStrategy<Marks> {
    let packet = vec(any::<u8>(), 0..80);
    (number(), any::<Option<u32>>(), any::<Option<u32>>(), number(), packet, small(), any::<bool>()).boxed()
}

fn any_endpoint() -> BoxedStrategy<v1::Endpoint> {
    (text(), text(), text(), small(), text(), text(), any::<bool>())
        .prop_map(|(identity, workload, address, port, spiffe_id, svid_serial, of_node)| v1::Endpoint {
            identity,
            workload,
            address,
            port,
            spiffe_id,
            svid_serial,
            of_node,
        })
        .boxed()
}

fn any_process() -> BoxedStrategy<v1::Process> {
    (
        (small(), text(), number(), text(), number(), text()),
        (vec(text(), 0..4), any::<bool>(), small(), text(), vec(any_ancestor(), 0..4), text()),
    )
        .prop_map(|(who, how)| {
            let (pid, command, cgroup_id, cgroup, start_boot_ns, executable) = who;
            let (arguments, arguments_cut, uid, identity, ancestors, gap) = how;
            v1::Process {
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
            }
        })
        .boxed()
}

fn any_ancestor() -> BoxedStrategy<v1::Ancestor> {
    (small(), number(), text())
        .prop_map(|(pid, start_boot_ns, executable)| v1::Ancestor { pid, start_boot_ns, executable })
        .boxed()
}

fn any_device() -> BoxedStrategy<v1::Device> {
    (text(), text(), small(), any::<Option<u32>>(), text(), vec(text(), 0..3))
        .prop_map(|(class, kind, major, minor, role, granted_to)| v1::Device {
            class,
            kind,
            major,
            minor,
            role,
            granted_to,
        })
        .boxed()
}

fn any_tunnel() -> BoxedStrategy<v1::TunnelFacts> {
    let words = proptest::array::uniform(text());
    let numbers = (number(), number(), any::<bool>(), any::<bool>(), number());
    (words, numbers)
        .prop_map(|(words, (bytes_forward, bytes_back, resumed, reused, cookie))| {
            let [
                event,
                direction,
                hop,
                source_id,
                source_serial,
                destination_id,
                destination_serial,
                trace_id,
                end,
                detail,
            ] = words;
            v1::TunnelFacts {
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
            }
        })
        .boxed()
}

fn any_flow() -> BoxedStrategy<v1::FlowFacts> {
    (text(), text(), text(), number(), number(), number(), number(), small(), number())
        .prop_map(
            |(
                event,
                state_before,
                state,
                bytes_sent,
                bytes_received,
                packets_sent,
                packets_received,
                flags,
                age,
            )| v1::FlowFacts {
                event,
                state_before,
                state,
                bytes_sent,
                bytes_received,
                packets_sent,
                packets_received,
                tcp_flags: flags,
                duration_ns: age,
            },
        )
        .boxed()
}

fn any_note() -> BoxedStrategy<v1::Note> {
    let field = (text(), text()).prop_map(|(name, value)| v1::Field { name, value });
    (text(), text(), text(), text(), text(), vec(field, 0..3))
        .prop_map(|(event, subject, actor, level, message, fields)| v1::Note {
            event,
            subject,
            actor,
            level,
            message,
            fields,
        })
        .boxed()
}

/// Empty as often as not.
fn text() -> BoxedStrategy<String> {
    prop_oneof![Just(String::new()), "[a-c]{1,2}", any::<String>()].boxed()
}

fn number() -> BoxedStrategy<u64> {
    prop_oneof![Just(0), 0..4_u64, any::<u64>()].boxed()
}

fn small() -> BoxedStrategy<u32> {
    prop_oneof![Just(0), 0..4_u32, any::<u32>()].boxed()
}

/// Flows of two tenants, a millisecond apart: a refused one after every nine that were allowed.
pub(crate) fn flows(count: u64) -> Vec<v1::Record> {
    (1..=count).map(flow).collect()
}

fn flow(sequence: u64) -> v1::Record {
    let is_refused = sequence.is_multiple_of(10);
    let port = u32::try_from(sequence % 20_000).unwrap() + 32_768;
    v1::Record {
        sequence,
        time: Some(from_nanoseconds(
            1_795_838_400_000_000_000 + i64::try_from(sequence).unwrap() * 1_000_000,
        )),
        node: "node-1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: if is_refused { "deny" } else { "allow" }.to_owned(),
        reason: if is_refused { "cross_tenant_no_rule" } else { "" }.to_owned(),
        rule: if is_refused { "no-rule-matched" } else { "intra-tenant" }.to_owned(),
        hook: "tcx/from_workload".to_owned(),
        protocol: "TCP".to_owned(),
        source: Some(v1::Endpoint {
            identity: "red".to_owned(),
            workload: format!("red-{}", sequence % 3),
            address: "10.1.0.2".to_owned(),
            port,
            ..v1::Endpoint::default()
        }),
        destination: Some(v1::Endpoint {
            identity: if is_refused { "blue" } else { "red" }.to_owned(),
            address: "10.2.0.2".to_owned(),
            port: 443,
            ..v1::Endpoint::default()
        }),
        ..v1::Record::default()
    }
}
