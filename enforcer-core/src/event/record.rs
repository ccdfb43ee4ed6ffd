//! An event with names: what people and exports read.

use enforcer_common::event::{
    Event, HOOK_CONNECT, HOOK_FROM_WORKLOAD, HOOK_SENDMSG, HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS,
    HOOK_TO_WORKLOAD, hook_name,
};
use enforcer_common::packet::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP};
use enforcer_common::{address, reason, verdict};
use enforcer_proto::v1;

use super::decode::Kind;
use super::names::{access_name, command_text, protocol_name, rule_name};
use super::scene::{Scene, to_ip};
use crate::device;
use crate::policy::carriage::Carriage;
use crate::policy::compile::asks_for_tunnel;
use crate::policy::model::Name;

/// `Record.type` of flows.
pub const FLOW: &str = "flow";
/// Type of the records of flows that are carried over mutual TLS.
pub const TUNNEL: &str = "tunnel";
/// `Record.type` of opens and mknods.
pub const DEVICE: &str = "device";
/// `Record.type` of entries into a host service.
pub const SERVICE: &str = "service";
/// `Record.type` of processes that begin and end.
pub const PROCESS: &str = "process";
/// `Record.type` of what happens to certificates and identities.
pub const IDENTITY: &str = "identity";
/// `Record.type` of changes of the policy.
pub const POLICY: &str = "policy";
/// `Record.type` of sums over a while, for each pair of ends.
pub const TOTALS: &str = "totals";
/// `Record.type` of what detection raised.
pub const ALERT: &str = "alert";
/// `Record.type` of what was done about it.
pub const RESPONSE: &str = "response";
/// `Record.type` of what happens to keys.
pub const KEY: &str = "key";
/// `Record.type` of the agent's own log lines, and of the kernel programs'.
pub const LOG: &str = "log";
/// `Record.type` of losses.
pub const LOSS: &str = "loss";

/// Every type that a filter may name. Events of a newer kernel side are `unknown-N`.
pub const TYPES: [&str; 13] =
    [FLOW, TUNNEL, DEVICE, SERVICE, PROCESS, IDENTITY, POLICY, TOTALS, ALERT, RESPONSE, KEY, LOG, LOSS];

/// The record of an event. `cgroup_path` is where the event's control group lies below the cgroup2 mount, if
/// it is still known. The sequence number is left to [`super::sequence`].
#[must_use]
pub fn record(event: &Event, scene: &Scene, cgroup_path: Option<&str>) -> v1::Record {
    let record = common(event, scene, cgroup_path);
    match Kind::of(event) {
        Kind::FlowRefused | Kind::FlowAllowed => of_flow(event, scene, cgroup_path, record),
        Kind::DeviceRefused | Kind::DeviceAllowed => of_device(event, scene, cgroup_path, record),
        Kind::ServiceEntered => of_service(event, scene, record),
        // Everything that can be said of it is said, whatever it was.
        _ => v1::Record {
            r#type: format!("unknown-{}", event.header.kind),
            device: (event.device_kind != 0).then(|| device_of(event, scene)),
            access: access_name(event.access),
            ..of_flow(event, scene, cgroup_path, record)
        },
    }
}

fn common(event: &Event, scene: &Scene, cgroup_path: Option<&str>) -> v1::Record {
    let has_process = event.process != 0 || event.cgroup != 0;
    v1::Record {
        time: Some(time_of(event.header.boot_ns, scene.boot_offset_ns)),
        node: scene.facts.name.clone(),
        verdict: if event.action == 0 {
            String::new()
        } else {
            verdict::action_name(event.action).to_owned()
        },
        reason: match event.reason {
            reason::NONE => String::new(),
            number => reason_name(number),
        },
        revision: event.revision,
        hook: match hook_name(event.hook) {
            "unassigned" => format!("hook-{}", event.hook),
            name => name.to_owned(),
        },
        process: has_process.then(|| v1::Process {
            pid: event.process,
            command: command_text(&event.command),
            cgroup_id: event.cgroup,
            cgroup: cgroup_path.unwrap_or_default().to_owned(),
            ..v1::Process::default()
        }),
        ..v1::Record::default()
    }
}

fn reason_name(number: u16) -> String {
    match reason::name(number) {
        "unassigned" => format!("reason-{number}"),
        name => name.to_owned(),
    }
}

fn of_flow(event: &Event, scene: &Scene, cgroup_path: Option<&str>, record: v1::Record) -> v1::Record {
    let [icmp_type, icmp_code] = event.destination_port.to_be_bytes().map(u32::from);
    let is_icmp = matches!(event.protocol, PROTOCOL_ICMP | PROTOCOL_ICMPV6);
    let source = source_workload(event, scene, cgroup_path);
    let destination = destination_workload(event, scene, cgroup_path);
    v1::Record {
        r#type: FLOW.to_owned(),
        rule: rule_name(&scene.policy, event.rule),
        shadow_rule: shadow_rule(event, scene),
        protocol: protocol_name(event.protocol),
        icmp_type: is_icmp.then_some(icmp_type),
        icmp_code: is_icmp.then_some(icmp_code),
        carriage: carriage(event, scene).word().to_owned(),
        source: Some(endpoint(event, scene, event.source_identity, source, &event.source, event.source_port)),
        destination: Some(endpoint(
            event,
            scene,
            event.destination_identity,
            destination,
            &event.destination,
            event.destination_port,
        )),
        ..record
    }
}

/// The kernel allows what a rule wants over mutual TLS where both ends are on this node. What the tunnel carries, the
/// tunnel records.
fn carriage(event: &Event, scene: &Scene) -> Carriage {
    if event.action == verdict::ALLOW && asks_for_tunnel(&scene.policy, event.rule) {
        return Carriage::OneNode;
    }
    Carriage::Plain
}

fn of_device(event: &Event, scene: &Scene, cgroup_path: Option<&str>, record: v1::Record) -> v1::Record {
    v1::Record {
        r#type: DEVICE.to_owned(),
        rule: rule_name(&scene.policy, event.rule),
        shadow_rule: shadow_rule(event, scene),
        source: Some(v1::Endpoint {
            identity: scene.identity_name(event.source_identity),
            of_node: scene.is_of_node(event.source_identity),
            workload: text(by_cgroup(event, scene, cgroup_path)),
            ..v1::Endpoint::default()
        }),
        device: Some(device_of(event, scene)),
        access: access_name(event.access),
        ..record
    }
}

/// The one who moved, and the service that was entered. No verdict: nothing was asked.
fn of_service(event: &Event, scene: &Scene, record: v1::Record) -> v1::Record {
    let who = |identity| {
        Some(v1::Endpoint {
            identity: scene.identity_name(identity),
            of_node: scene.is_of_node(identity),
            ..v1::Endpoint::default()
        })
    };
    v1::Record {
        r#type: SERVICE.to_owned(),
        source: who(event.source_identity),
        destination: who(event.destination_identity),
        ..record
    }
}

fn shadow_rule(event: &Event, scene: &Scene) -> String {
    match event.shadow_rule {
        0 => String::new(),
        number => rule_name(&scene.policy, number),
    }
}

/// By the class that stood at the gate when it was asked: the node's numbers may have changed since.
fn device_of(event: &Event, scene: &Scene) -> v1::Device {
    let devices = &scene.facts.devices;
    let class = devices.class_name(event.class).unwrap_or(device::class::UNASSIGNED);
    let kind = device::class::Kind::from_number(u32::from(event.device_kind));
    v1::Device {
        class: class.to_owned(),
        kind: kind.map_or_else(|| event.device_kind.to_string(), |kind| kind.name().to_owned()),
        major: event.major,
        minor: Some(event.minor),
        role: devices.role(class).map_or_else(String::new, |role| role.name().to_owned()),
        granted_to: Vec::new(),
    }
}

/// Where the hook knows the sender by its interface or its control group, the address says nothing: it may
/// be forged.
fn source_workload<'a>(event: &Event, scene: &'a Scene, cgroup_path: Option<&str>) -> Option<&'a Name> {
    match event.hook {
        HOOK_FROM_WORKLOAD => scene.workload_at(event.interface),
        HOOK_CONNECT | HOOK_SENDMSG | HOOK_SOCKET_EGRESS => by_cgroup(event, scene, cgroup_path),
        _ => scene.workload_with(&event.source, event.source_identity),
    }
}

fn destination_workload<'a>(event: &Event, scene: &'a Scene, cgroup_path: Option<&str>) -> Option<&'a Name> {
    match event.hook {
        HOOK_TO_WORKLOAD => scene.workload_at(event.interface),
        HOOK_SOCKET_INGRESS => by_cgroup(event, scene, cgroup_path),
        _ => scene.workload_with(&event.destination, event.destination_identity),
    }
}

fn by_cgroup<'a>(event: &Event, scene: &'a Scene, cgroup_path: Option<&str>) -> Option<&'a Name> {
    scene.workload_in(event.cgroup).or_else(|| scene.workload_below(cgroup_path?))
}

fn endpoint(
    event: &Event,
    scene: &Scene,
    identity: u32,
    workload: Option<&Name>,
    at: &address::Address,
    port: u16,
) -> v1::Endpoint {
    let has_ports = matches!(event.protocol, PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP);
    // All zero is "not known yet" (a socket before connect), but a sender's true address in ICMPv6.
    let is_known = !address::is_unspecified(at) || event.protocol == PROTOCOL_ICMPV6;
    v1::Endpoint {
        identity: scene.identity_name(identity),
        of_node: scene.is_of_node(identity),
        workload: text(workload),
        address: if is_known { to_ip(at).to_string() } else { String::new() },
        port: if has_ports { u32::from(port) } else { 0 },
        ..v1::Endpoint::default()
    }
}

fn text(name: Option<&Name>) -> String {
    name.map_or_else(String::new, |name| name.to_string())
}

/// An instant of the boot clock on the calendar.
#[must_use]
pub fn time_of(boot_ns: u64, boot_offset_ns: i64) -> prost_types::Timestamp {
    const SECOND: i128 = 1_000_000_000;
    let unix_ns = i128::from(boot_ns) + i128::from(boot_offset_ns);
    prost_types::Timestamp {
        seconds: i64::try_from(unix_ns.div_euclid(SECOND)).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_ns.rem_euclid(SECOND)).unwrap_or(0),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
