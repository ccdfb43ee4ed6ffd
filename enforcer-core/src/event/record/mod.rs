//! An event with names: what people and exports read.

mod process;
mod socket;

use enforcer_common::event::{
    Event, HOOK_CONNECT, HOOK_FROM_WORKLOAD, HOOK_SENDMSG, HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS,
    HOOK_TO_WORKLOAD, Header, PacketEvent, hook_name,
};
use enforcer_common::packet::{PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP};
use enforcer_common::{address, reason, verdict};
use enforcer_proto::v1;

use super::clock::Clock;
use super::decode::Kind;
use super::names::{access_name, command_text, protocol_name, rule_name, rule_owner};
use super::scene::{Scene, to_ip};
use crate::device;
use crate::policy::carriage::Carriage;
use crate::policy::compile::asks_for_tunnel;
use crate::policy::model::Name;

pub use process::of_process;
pub use socket::of_socket;

/// `Record.type` of flows.
pub const FLOW: &str = "flow";
/// Type of the records of flows that are carried over mutual TLS.
pub const TUNNEL: &str = "tunnel";
/// `Record.type` of opens and mknods.
pub const DEVICE: &str = "device";
/// `Record.type` of entries into a host service.
pub const SERVICE: &str = "service";
/// `Record.type` of what tenants' processes are refused to do to others' processes, and to the wall.
pub const GUARD: &str = "guard";
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

/// `FlowFacts.event` of a flow's first packet.
pub const OPENED: &str = "opened";

/// What the type of an event begins with that this build does not know; its number follows.
pub const UNKNOWN_PREFIX: &str = "unknown-";

/// Every type that a filter may name. Events of a newer kernel side are `unknown-N`.
pub const TYPES: [&str; 14] = [
    FLOW, TUNNEL, DEVICE, SERVICE, GUARD, PROCESS, IDENTITY, POLICY, TOTALS, ALERT, RESPONSE, KEY, LOG, LOSS,
];

/// What is known besides an event's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The policy that decided, and the node.
    pub scene: &'a Scene,
    /// From the boot clock to the calendar.
    pub clock: &'a Clock,
    /// Where the event's control group lies below the cgroup2 mount, if it is still known.
    pub cgroup_path: Option<&'a str>,
}

/// The record of a decision, not numbered. Its process is what the event tells: number, name and control group.
#[must_use]
pub fn record(event: &Event, context: &Context<'_>) -> v1::Record {
    let Context { scene, .. } = *context;
    let record = common(event, context);
    match Kind::of(event) {
        Kind::FlowRefused | Kind::FlowAllowed => of_flow(event, context, record),
        Kind::DeviceRefused | Kind::DeviceAllowed => of_device(event, context, record),
        Kind::ServiceEntered => of_service(event, scene, record),
        Kind::GuardRefused => of_guard(event, context, record),
        // Everything that can be said of it is said, whatever it was.
        _ => v1::Record {
            r#type: format!("{UNKNOWN_PREFIX}{}", event.header.kind),
            device: (event.device_kind != 0).then(|| device_of(event, scene)),
            access: access_name(event.access),
            ..of_flow(event, context, record)
        },
    }
}

/// The record of a refused packet, with its first bytes.
#[must_use]
pub fn of_packet(packet: &PacketEvent, context: &Context<'_>) -> v1::Record {
    v1::Record {
        packet: packet.packet().to_vec(),
        packet_length: packet.length,
        ..record(&packet.event, context)
    }
}

/// The record of something that this build knows no more of than when and where it was.
#[must_use]
pub fn of_unknown(header: &Header, context: &Context<'_>) -> v1::Record {
    v1::Record { r#type: format!("{UNKNOWN_PREFIX}{}", header.kind), ..begun(header, context) }
}

/// What every event's record has.
fn begun(header: &Header, context: &Context<'_>) -> v1::Record {
    let (time, time_error_ns) = context.clock.at(header.boot_ns);
    v1::Record {
        time: Some(time),
        node: context.scene.facts.name.clone(),
        boot_ns: header.boot_ns,
        time_error_ns,
        cpu: Some(u32::from(header.cpu)),
        cpu_sequence: header.sequence,
        ..v1::Record::default()
    }
}

fn common(event: &Event, context: &Context<'_>) -> v1::Record {
    let has_process = event.process != 0 || event.cgroup != 0;
    v1::Record {
        verdict: if event.action == 0 {
            String::new()
        } else {
            verdict::action_name(event.action).to_owned()
        },
        reason: reason_name(event.reason),
        revision: event.revision,
        hook: match hook_name(event.hook) {
            "unassigned" => format!("hook-{}", event.hook),
            name => name.to_owned(),
        },
        cookie: event.cookie,
        process: has_process.then(|| v1::Process {
            pid: event.process,
            command: command_text(&event.command),
            cgroup_id: event.cgroup,
            cgroup: context.cgroup_path.unwrap_or_default().to_owned(),
            ..v1::Process::default()
        }),
        ..begun(&event.header, context)
    }
}

/// Empty for no reason: allowed.
pub(super) fn reason_name(number: u16) -> String {
    match (number, reason::name(number)) {
        (reason::NONE, _) => String::new(),
        (_, "unassigned") => format!("reason-{number}"),
        (_, name) => name.to_owned(),
    }
}

fn of_flow(event: &Event, context: &Context<'_>, record: v1::Record) -> v1::Record {
    let Context { scene, cgroup_path, .. } = *context;
    let [icmp_type, icmp_code] = event.destination_port.to_be_bytes().map(u32::from);
    let is_icmp = matches!(event.protocol, PROTOCOL_ICMP | PROTOCOL_ICMPV6);
    let source = source_workload(event, scene, cgroup_path);
    let destination = destination_workload(event, scene, cgroup_path);
    v1::Record {
        r#type: FLOW.to_owned(),
        rule: rule_name(&scene.policy, event.rule),
        rule_owner: rule_owner(&scene.policy, event.rule).map_or_else(String::new, ToString::to_string),
        shadow_rule: shadow_rule(event, scene),
        flow: (event.protocol == PROTOCOL_TCP && event.tcp_flags != 0).then(|| v1::FlowFacts {
            event: OPENED.to_owned(),
            tcp_flags: u32::from(event.tcp_flags),
            ..v1::FlowFacts::default()
        }),
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

fn of_device(event: &Event, context: &Context<'_>, record: v1::Record) -> v1::Record {
    let Context { scene, cgroup_path, .. } = *context;
    v1::Record {
        r#type: DEVICE.to_owned(),
        rule: rule_name(&scene.policy, event.rule),
        shadow_rule: shadow_rule(event, scene),
        source: Some(v1::Endpoint {
            workload: text(by_cgroup(event.cgroup, scene, cgroup_path)),
            ..end_of(scene, event.source_identity)
        }),
        device: Some(device_of(event, scene)),
        access: access_name(event.access),
        ..record
    }
}

/// The one who moved, and the service that was entered. No verdict: nothing was asked.
fn of_service(event: &Event, scene: &Scene, record: v1::Record) -> v1::Record {
    v1::Record {
        r#type: SERVICE.to_owned(),
        source: Some(end_of(scene, event.source_identity)),
        destination: Some(end_of(scene, event.destination_identity)),
        ..record
    }
}

/// Who reached for whom. The wall itself is the node's.
fn of_guard(event: &Event, context: &Context<'_>, record: v1::Record) -> v1::Record {
    let Context { scene, cgroup_path, .. } = *context;
    v1::Record {
        r#type: GUARD.to_owned(),
        source: Some(v1::Endpoint {
            workload: text(by_cgroup(event.cgroup, scene, cgroup_path)),
            ..end_of(scene, event.source_identity)
        }),
        destination: Some(end_of(scene, event.destination_identity)),
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
        HOOK_CONNECT | HOOK_SENDMSG | HOOK_SOCKET_EGRESS => by_cgroup(event.cgroup, scene, cgroup_path),
        _ => scene.workload_with(&event.source, event.source_identity),
    }
}

fn destination_workload<'a>(event: &Event, scene: &'a Scene, cgroup_path: Option<&str>) -> Option<&'a Name> {
    match event.hook {
        HOOK_TO_WORKLOAD => scene.workload_at(event.interface),
        HOOK_SOCKET_INGRESS => by_cgroup(event.cgroup, scene, cgroup_path),
        _ => scene.workload_with(&event.destination, event.destination_identity),
    }
}

fn by_cgroup<'a>(cgroup: u64, scene: &'a Scene, cgroup_path: Option<&str>) -> Option<&'a Name> {
    scene.workload_in(cgroup).or_else(|| scene.workload_below(cgroup_path?))
}

/// An end of which no more is known than whose it is.
#[must_use]
pub fn end_of(scene: &Scene, identity: u32) -> v1::Endpoint {
    let (identity, of_node) = scene.whose(identity);
    v1::Endpoint { identity, of_node, ..v1::Endpoint::default() }
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
        workload: text(workload),
        address: if is_known { to_ip(at).to_string() } else { String::new() },
        port: if has_ports { u32::from(port) } else { 0 },
        ..end_of(scene, identity)
    }
}

fn text(name: Option<&Name>) -> String {
    name.map_or_else(String::new, |name| name.to_string())
}

#[cfg(test)]
mod tests;
