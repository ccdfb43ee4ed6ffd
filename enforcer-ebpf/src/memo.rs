//! What is remembered with sockets for the sake of telling: who made them, and which flow's owner is written down.
//! Hooks at interfaces see packets without a socket, and find their owner by the flow.

use aya_ebpf::bindings::bpf_map_type::BPF_MAP_TYPE_SK_STORAGE;
use aya_ebpf::bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, bpf_sock};
use aya_ebpf::helpers::generated::{bpf_get_current_pid_tgid, bpf_get_socket_cookie, bpf_sk_storage_get};
use aya_ebpf::macros::{btf_map, map};
use aya_ebpf::maps::LruHashMap;
use enforcer_common::flow::forward_key;
use enforcer_common::maps::{FlowKey, SocketTag};
use enforcer_common::packet::{
    ETHERTYPE_IPV4, ETHERTYPE_IPV6, FRAGMENT_LATER, Headers, PROTOCOL_TCP, Packet,
};
use enforcer_common::telling::{OwnerValue, SocketMemo};

use crate::packet::Skb;

const STORAGE_CREATE: u64 = 1;
/// A prime with its bits well spread.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Socket storage that an accepted socket gets a copy of: aya's own has no such flag.
#[repr(C)]
pub struct Memos {
    r#type: *const [i32; BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const SocketMemo,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize],
}

// SAFETY: placeholders that the loader reads as types; nothing reads them here.
unsafe impl Sync for Memos {}

#[btf_map]
pub static MEMOS: Memos = Memos {
    r#type: core::ptr::null(),
    key: core::ptr::null(),
    value: core::ptr::null(),
    max_entries: core::ptr::null(),
    map_flags: core::ptr::null(),
};

/// Whose socket sent a flow's packets.
#[map]
pub static OWNERS: LruHashMap<FlowKey, OwnerValue> = LruHashMap::with_max_entries(65_536, 0);

/// Remembers the current process as the maker of a socket.
#[inline(always)]
pub fn keep(socket: *mut bpf_sock, tag: &SocketTag) {
    let mut memo = SocketMemo {
        flow: 0,
        since_ns: 0,
        cgroup: tag.cgroup,
        // SAFETY: the helper takes no argument.
        process: (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32,
        identity: tag.identity,
        flags: 0,
        reserved: 0,
    };
    // SAFETY: the verifier checks that `socket` is a socket; the helper copies the value.
    let kept: *mut SocketMemo =
        unsafe { bpf_sk_storage_get(storage(), socket.cast(), (&raw mut memo).cast(), STORAGE_CREATE) }
            .cast();
    if !kept.is_null() {
        // SAFETY: the kernel's storage holds one memo; an older one is replaced.
        unsafe { *kept = memo };
    }
}

/// The memo of a socket, or null.
#[inline(always)]
pub fn kept(socket: *mut bpf_sock) -> *mut SocketMemo {
    // SAFETY: the verifier checks that `socket` is a socket.
    unsafe { bpf_sk_storage_get(storage(), socket.cast(), core::ptr::null_mut(), 0) }.cast()
}

/// The memo of a socket; one that has none gets one that names no process. Null when there is no memory.
#[inline(always)]
pub fn kept_or_made(socket: *mut bpf_sock) -> *mut SocketMemo {
    // SAFETY: the verifier checks that `socket` is a socket; without a value the kernel writes zeroes.
    unsafe { bpf_sk_storage_get(storage(), socket.cast(), core::ptr::null_mut(), STORAGE_CREATE) }.cast()
}

#[inline(always)]
fn storage() -> *mut core::ffi::c_void {
    core::ptr::from_ref(&MEMOS).cast_mut().cast()
}

/// A packet leaves a socket; 1 when its flow is another than that of the packet before, so that its owner should be
/// written down. A function of its own, for the stack.
#[inline(never)]
pub fn is_news(skb: &Skb) -> u32 {
    let memo = of_sender(skb);
    if memo.is_null() {
        return 0;
    }
    let flow = flow_of(skb);
    // SAFETY: the kernel's storage holds one memo.
    if flow == 0 || unsafe { (*memo).flow } == flow {
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*memo).flow = flow };
    1
}

/// Writes down whose socket a flow's packet comes from.
#[inline(never)]
pub fn write(skb: &Skb, headers: &Headers, tag: &SocketTag) -> u32 {
    let memo = of_sender(skb);
    if memo.is_null() || headers.fragment == FRAGMENT_LATER {
        return 0;
    }
    let owner = OwnerValue {
        // SAFETY: the context is this program's.
        cookie: unsafe { bpf_get_socket_cookie(skb.0.cast()) },
        cgroup: tag.cgroup,
        // SAFETY: the kernel's storage holds one memo.
        process: unsafe { (*memo).process },
        identity: tag.identity,
    };
    u32::from(OWNERS.insert(forward_key(headers), owner, 0).is_ok())
}

/// The memo of the socket that a packet comes from; null without one.
#[inline(always)]
fn of_sender(skb: &Skb) -> *mut SocketMemo {
    let socket = skb.full_socket();
    if socket.is_null() { core::ptr::null_mut() } else { kept_or_made(socket) }
}

/// A digest of the packet's flow; 0 when there is none to be seen. A TCP socket has one flow for as long as it is
/// connected, and what the socket says of it costs less than the packet's own words.
#[inline(always)]
fn flow_of(skb: &Skb) -> u64 {
    let socket = skb.full_socket();
    if socket.is_null() {
        return 0;
    }
    // SAFETY: the verifier allows these fields of a socket.
    let (protocol, remote_port, local_port) =
        unsafe { ((*socket).protocol, u32::from((*socket).dst_port), (*socket).src_port) };
    if protocol == u32::from(PROTOCOL_TCP) && remote_port != 0 {
        // SAFETY: as above, one word at a time.
        let (v4, [a, b, c, d]) = unsafe { ((*socket).dst_ip4, (*socket).dst_ip6) };
        let ports = u64::from(remote_port) << 16 | u64::from(local_port);
        return mix(mix(mix(ports, both(v4, a)), both(b, c)), u64::from(d)) | 1;
    }
    let word = |offset| skb.read::<8>(offset).map_or(0, u64::from_ne_bytes);
    let ports = |offset| u64::from(skb.read::<4>(offset).map_or(0, u32::from_ne_bytes));
    let first = u64::from(protocol);
    match skb.ethertype() {
        ETHERTYPE_IPV4 => mix(mix(first, word(12)), ports(20)) | 1,
        ETHERTYPE_IPV6 => {
            mix(mix(mix(mix(mix(first, word(8)), word(16)), word(24)), word(32)), ports(40)) | 1
        }
        _ => 0,
    }
}

#[inline(always)]
const fn mix(state: u64, word: u64) -> u64 {
    (state.rotate_left(23) ^ word).wrapping_mul(SPREAD)
}

#[inline(always)]
const fn both(one: u32, other: u32) -> u64 {
    (one as u64) << 32 | other as u64
}

/// The owner of a packet's flow, if it is who the packet is from: another's packet may bear the same addresses.
#[inline(always)]
pub fn owner(headers: &Headers, identity: u32) -> Option<OwnerValue> {
    // SAFETY: an entry that is evicted while it is read may show another flow's value; its identity is compared.
    let owner = unsafe { OWNERS.get(forward_key(headers)) }.copied()?;
    if owner.identity == identity { Some(owner) } else { None }
}
