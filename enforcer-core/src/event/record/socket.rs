//! A TCP socket on its way through its states, as a flow.

use enforcer_common::address::Address;
use enforcer_common::event::{KIND_SOCKET_END, SOCKET_PASSIVE, SocketEvent};
use enforcer_proto::v1;

use super::{Context, FLOW, begun, by_cgroup, end_of, text};
use crate::event::scene::to_ip;

/// `Record.hook` of a socket that connected, and of one that was accepted: whose numbers a record has.
const HOOKS: [&str; 2] = ["socket_active", "socket_passive"];

/// The record of a socket's state or end, not numbered. The source is who opened the connection; the numbers are by the
/// socket's own end. No verdict: nothing was asked.
#[must_use]
pub fn of_socket(event: &SocketEvent, context: &Context<'_>) -> v1::Record {
    let scene = context.scene;
    let own = v1::Endpoint {
        workload: text(by_cgroup(event.cgroup, scene, context.cgroup_path)),
        ..at(&event.local, event.local_port, end_of(scene, event.identity))
    };
    let other = v1::Endpoint {
        workload: text(scene.workload_with(&event.remote, event.remote_identity)),
        ..at(&event.remote, event.remote_port, end_of(scene, event.remote_identity))
    };
    let is_passive = event.flags & SOCKET_PASSIVE != 0;
    let [active, passive] = HOOKS;
    let (hook, source, destination) = if is_passive { (passive, other, own) } else { (active, own, other) };
    v1::Record {
        r#type: FLOW.to_owned(),
        hook: hook.to_owned(),
        source: Some(source),
        destination: Some(destination),
        protocol: "TCP".to_owned(),
        cookie: event.cookie,
        process: Some(v1::Process {
            pid: event.process,
            cgroup_id: event.cgroup,
            cgroup: context.cgroup_path.unwrap_or_default().to_owned(),
            ..v1::Process::default()
        }),
        flow: Some(facts(event)),
        ..begun(&event.header, context)
    }
}

fn at(address: &Address, port: u16, end: v1::Endpoint) -> v1::Endpoint {
    v1::Endpoint { address: to_ip(address).to_string(), port: u32::from(port), ..end }
}

fn facts(event: &SocketEvent) -> v1::FlowFacts {
    let is_end = event.header.kind == KIND_SOCKET_END;
    v1::FlowFacts {
        event: if is_end { "closed" } else { "state" }.to_owned(),
        state_before: state_name(event.old_state),
        state: state_name(event.new_state),
        bytes_sent: event.bytes_sent,
        bytes_received: event.bytes_received,
        packets_sent: u64::from(event.segments_out),
        packets_received: u64::from(event.segments_in),
        tcp_flags: 0,
        duration_ns: match event.since_ns {
            0 => 0,
            since => event.header.boot_ns.saturating_sub(since),
        },
    }
}

/// As ss(8) writes them; the kernel's numbers begin with 1.
fn state_name(state: u8) -> String {
    const NAMES: [&str; 12] = [
        "ESTAB",
        "SYN-SENT",
        "SYN-RECV",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "TIME-WAIT",
        "UNCONN",
        "CLOSE-WAIT",
        "LAST-ACK",
        "LISTEN",
        "CLOSING",
        "NEW-SYN-RECV",
    ];
    let name = state.checked_sub(1).and_then(|index| NAMES.get(usize::from(index)));
    name.map_or_else(|| state.to_string(), |name| (*name).to_owned())
}
