//! TCP sockets of tenants on their way: told of when their state changes, and at their end with what they moved.

use aya_ebpf::bindings::BPF_SOCK_OPS_STATE_CB_FLAG;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::SockOpsContext;
use enforcer_common::event::{KIND_SOCKET_END, KIND_SOCKET_STATE, SocketEvent};
use enforcer_common::identity;
use enforcer_common::policy::Tables;
use enforcer_common::telling::{AGGREGATION_CONNECTIONS, AGGREGATION_STATES};

use crate::memo;
use crate::tables::{Kernel, TELLING};
use crate::tag;
use crate::tell::{Channel, room, submit};
use crate::tunnel;

const NO_PREALLOC: u32 = 1;
/// `TCP_CLOSE`.
const CLOSED: u32 = 7;

/// How much is told of a tenant's sockets, where it is not what is told of all.
#[map]
pub static AGGREGATION: HashMap<u32, u32> = HashMap::with_max_entries(16_384, NO_PREALLOC);

/// Whose socket it is.
struct Whose {
    identity: u32,
    cgroup: u64,
    process: u32,
    since_ns: u64,
    flags: u32,
}

/// A connection begins: its states are to be told, unless it is known to be no tenant's.
#[inline(always)]
pub fn begin(context: &SockOpsContext) {
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let known = match tag::kept(socket) {
        Some(tag) => tag.identity,
        None => identity::UNKNOWN,
    };
    if known == identity::UNKNOWN || identity::is_tenant(known) {
        let flags = context.cb_flags() | BPF_SOCK_OPS_STATE_CB_FLAG;
        let _without = context.set_cb_flags(flags as i32);
    }
}

/// A connection is there; `flags` are those of its events.
#[inline(always)]
pub fn established(context: &SockOpsContext, flags: u8) {
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let memo = memo::kept(socket);
    if !memo.is_null() {
        // SAFETY: the kernel's storage holds one memo; the helper takes no argument.
        unsafe {
            (*memo).since_ns = bpf_ktime_get_boot_ns();
            (*memo).flags = u32::from(flags);
        }
    }
}

#[inline(always)]
fn whose(context: &SockOpsContext) -> Option<Whose> {
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return None;
    }
    let mut whose = Whose { identity: identity::UNKNOWN, cgroup: 0, process: 0, since_ns: 0, flags: 0 };
    let memo = memo::kept(socket);
    if !memo.is_null() {
        // SAFETY: the kernel's storage holds one memo.
        unsafe {
            whose.identity = (*memo).identity;
            whose.cgroup = (*memo).cgroup;
            whose.process = (*memo).process;
            whose.since_ns = (*memo).since_ns;
            whose.flags = (*memo).flags;
        }
    }
    // A tag is looked up again when the groups change; a memo is not.
    if let Some(tag) = tag::kept(socket) {
        whose.identity = tag.identity;
        whose.cgroup = tag.cgroup;
    }
    Some(whose)
}

/// A state changes.
#[inline(always)]
pub fn changed(context: &SockOpsContext) {
    let Some(whose) = whose(context) else { return };
    if !identity::is_tenant(whose.identity) {
        return;
    }
    let (old, new) = (context.arg(0), context.arg(1));
    let (kind, level) = if new == CLOSED {
        (KIND_SOCKET_END, AGGREGATION_CONNECTIONS)
    } else {
        (KIND_SOCKET_STATE, AGGREGATION_STATES)
    };
    if aggregation(whose.identity) < level {
        return;
    }
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let Some(mut entry) = room::<SocketEvent>(Channel::Sample, kind, whose.identity, now_ns) else { return };
    let event = entry.as_mut_ptr();
    let ops = context.ops;
    let (remote, remote_port) = tunnel::destination(context);
    let remote_identity = Kernel::now().address(&remote).map_or(identity::WORLD, |value| value.identity);
    // SAFETY: the reservation is as large as an event, and every field behind its header is written. The verifier
    // allows these fields of the context.
    unsafe {
        let header = (*event).header;
        event.write(SocketEvent {
            header,
            cgroup: whose.cgroup,
            cookie: bpf_get_socket_cookie(ops.cast()),
            since_ns: whose.since_ns,
            bytes_sent: (&raw const (*ops).bytes_acked).read_volatile(),
            bytes_received: (&raw const (*ops).bytes_received).read_volatile(),
            local: tunnel::local(context),
            remote,
            identity: whose.identity,
            remote_identity,
            process: whose.process,
            segments_out: (&raw const (*ops).segs_out).read_volatile(),
            segments_in: (&raw const (*ops).segs_in).read_volatile(),
            retransmits: (&raw const (*ops).total_retrans).read_volatile(),
            local_port: context.local_port() as u16,
            remote_port,
            old_state: old as u8,
            new_state: new as u8,
            flags: whose.flags as u8,
            reserved: 0,
        });
    }
    submit(Channel::Sample, entry);
}

#[inline(always)]
fn aggregation(tenant: u32) -> u32 {
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    match unsafe { AGGREGATION.get(tenant) } {
        Some(own) => *own,
        None => TELLING.get(0).map_or(0, |telling| telling.aggregation),
    }
}
