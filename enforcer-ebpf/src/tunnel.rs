//! Connections that a rule sends through the tunnel: `connect()` is pointed at the agent's listener in the workload's
//! own network namespace, and the agent's end of the connection is told whose it is and where it was going.
//!
//! The origin is kept with the client's socket. It crosses to the agent's end by the client's address and port, and
//! lies in the table between only while the handshake lasts: what is there is taken out by the one who accepts.

use aya_ebpf::bindings::{
    BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB, BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_STATE_CB,
    BPF_SOCK_OPS_TCP_CONNECT_CB, bpf_sock, bpf_sock_ops, bpf_sockopt,
};
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::{
    bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_sk_storage_delete, bpf_sk_storage_get,
};
use aya_ebpf::macros::{btf_map, cgroup_sock_addr, cgroup_sockopt, map, sock_ops};
use aya_ebpf::maps::LruHashMap;
use aya_ebpf::programs::{SockAddrContext, SockOpsContext, SockoptContext};
use enforcer_common::address::{self, Address};
use enforcer_common::event::SOCKET_PASSIVE;
use enforcer_common::maps::{
    CGROUP_TUNNEL, INTERCEPT_PORT, ORIGIN_LEVEL, ORIGIN_OPTION, OriginKey, OriginValue, SocketTag,
};
use enforcer_common::packet::{Headers, PROTOCOL_TCP};

use crate::sockaddr::{IPV4, IPV6, point4, point6};
use crate::states;
use crate::tables::CGROUPS;

const PASS: i32 = 1;
const HANDLED: u32 = 1;
const STORAGE_CREATE: u64 = 1;

const SOL_IP: i32 = 0;
const SOL_IPV6: i32 = 41;
/// At both levels (`linux/netfilter_ipv4.h`, `netfilter_ipv6/ip6_tables.h`).
const SO_ORIGINAL_DST: i32 = 80;
const SOCKADDR_IN_BYTES: usize = 16;
const SOCKADDR_IN6_BYTES: usize = 28;

/// Where a workload's socket was going; and, on the agent's end of that connection, the same.
#[btf_map]
pub static INTERCEPTED: SkStorage<OriginValue> = SkStorage::new();

/// Connections to the agent that have begun, until they are accepted.
#[map]
pub static ORIGINS: LruHashMap<OriginKey, OriginValue> = LruHashMap::with_max_entries(65_536, 0);

/// Forgets where a socket once was going.
#[inline(always)]
pub fn forget(context: &SockAddrContext) {
    // SAFETY: the verifier allows this field of the context, and checks that it is a socket.
    unsafe {
        let socket = (*context.sock_addr).__bindgen_anon_1.sk;
        bpf_sk_storage_delete(storage(), socket.cast());
    }
}

/// Points a call at the listener of the workload, and keeps where it was going; 0 where nobody takes such connections
/// up. A function of its own, for the stack; one for each family, since a program may touch its own fields only.
#[inline(never)]
pub fn intercept<const FAMILY: u32>(
    context: &SockAddrContext,
    asker: &SocketTag,
    headers: &Headers,
    rule: u32,
) -> u32 {
    if headers.protocol != PROTOCOL_TCP || asker.flags & CGROUP_TUNNEL == 0 {
        return 0;
    }
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    let Some(group) = (unsafe { CGROUPS.get(asker.cgroup) }) else { return 0 };
    let v4 = address::to_v4(&headers.destination).is_some();
    let listener = if v4 { &group.tunnel_v4 } else { &group.tunnel_v6 };
    if address::is_unspecified(listener) || !keep(context, asker, headers, rule) {
        return 0;
    }
    if FAMILY == IPV6 {
        point6(context, listener, INTERCEPT_PORT);
    } else if let Some(listener) = address::to_v4(listener) {
        point4(context, listener, INTERCEPT_PORT);
    }
    1
}

#[inline(always)]
fn keep(context: &SockAddrContext, asker: &SocketTag, headers: &Headers, rule: u32) -> bool {
    let mut origin = OriginValue {
        destination: headers.destination,
        // SAFETY: the context is this program's.
        cookie: unsafe { bpf_get_socket_cookie(context.sock_addr.cast()) },
        cgroup: asker.cgroup,
        identity: asker.identity,
        rule,
        port: headers.destination_port,
        reserved: [0; 6],
    };
    // SAFETY: the verifier allows this field of the context, and checks that it is a socket; the helper copies the
    // value.
    let kept = unsafe {
        let socket = (*context.sock_addr).__bindgen_anon_1.sk;
        bpf_sk_storage_get(storage(), socket.cast(), (&raw mut origin).cast(), STORAGE_CREATE)
    };
    !kept.is_null()
}

/// Carries the origin from the client's socket to the agent's, and follows the states of both.
#[sock_ops]
pub fn tunnel_origins(context: SockOpsContext) -> u32 {
    match context.op() {
        BPF_SOCK_OPS_TCP_CONNECT_CB => {
            if remote_port(&context) == INTERCEPT_PORT {
                offer(&context);
            }
            states::begin(&context);
        }
        BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB => states::established(&context, 0),
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => {
            if context.local_port() == u32::from(INTERCEPT_PORT) {
                take(&context);
            }
            states::begin(&context);
            states::established(&context, SOCKET_PASSIVE);
        }
        BPF_SOCK_OPS_STATE_CB => states::changed(&context),
        _ => {}
    }
    HANDLED
}

/// A connection to the agent begins. One that was not intercepted takes away what an earlier one of the same port
/// may have left.
#[inline(always)]
fn offer(context: &SockOpsContext) {
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let key = OriginKey {
        // SAFETY: the context is this program's.
        namespace: unsafe { bpf_get_netns_cookie(context.ops.cast()) },
        address: local(context),
        port: context.local_port() as u16,
        reserved: [0; 6],
    };
    let kept = kept(socket);
    // SAFETY: the kernel's storage holds one origin; the context is this program's.
    let own = !kept.is_null() && unsafe { (*kept).cookie == bpf_get_socket_cookie(context.ops.cast()) };
    if own {
        // SAFETY: as above. An entry that cannot be made is a connection that the agent refuses.
        let _ = ORIGINS.insert(&key, unsafe { &*kept }, 0);
    } else {
        let _ = ORIGINS.remove(&key);
    }
}

/// A connection to the agent is there: its origin moves to the accepted socket.
#[inline(always)]
fn take(context: &SockOpsContext) {
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if socket.is_null() {
        return;
    }
    let key = OriginKey {
        // SAFETY: the context is this program's.
        namespace: unsafe { bpf_get_netns_cookie(context.ops.cast()) },
        address: remote(context),
        port: remote_port(context),
        reserved: [0; 6],
    };
    let Some(origin) = ORIGINS.get_ptr_mut(&key) else { return };
    // SAFETY: the verifier checks that `socket` is a socket; the helper copies the value.
    unsafe { bpf_sk_storage_get(storage(), socket.cast(), origin.cast(), STORAGE_CREATE) };
    let _ = ORIGINS.remove(&key);
}

/// Answers for the agent's end of an intercepted connection, and for no other socket.
#[cgroup_sockopt(getsockopt)]
pub fn tunnel_getsockopt(context: SockoptContext) -> i32 {
    let context = context.sockopt;
    // SAFETY: the verifier allows these fields of the context.
    let (level, option) = unsafe { ((*context).level, (*context).optname) };
    let asked = (option == SO_ORIGINAL_DST && (level == SOL_IP || level == SOL_IPV6))
        || (option == ORIGIN_OPTION && level == ORIGIN_LEVEL);
    if !asked {
        return PASS;
    }
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context).__bindgen_anon_1.sk };
    // SAFETY: the verifier allows this field of a socket.
    if socket.is_null() || unsafe { (*socket).src_port } != u32::from(INTERCEPT_PORT) {
        return PASS;
    }
    let origin = kept(socket);
    if origin.is_null() {
        return PASS;
    }
    // SAFETY: the kernel's storage holds one origin.
    let origin = unsafe { &*origin };
    match (level, address::to_v4(&origin.destination)) {
        (ORIGIN_LEVEL, _) => whole(context, origin),
        (SOL_IP, Some(v4)) => sockaddr_in(context, v4, origin.port),
        (SOL_IPV6, None) => sockaddr_in6(context, &origin.destination, origin.port),
        _ => {}
    }
    PASS
}

/// Room for `N` bytes of answer; nothing where the asker left less.
#[inline(always)]
fn room<const N: usize>(context: *mut bpf_sockopt) -> Option<*mut u8> {
    // SAFETY: the verifier allows these fields of the context.
    let (start, end) =
        unsafe { ((*context).__bindgen_anon_2.optval, (*context).__bindgen_anon_3.optval_end) };
    if start as usize + N > end as usize { None } else { Some(start.cast()) }
}

#[inline(always)]
fn answered(context: *mut bpf_sockopt, bytes: usize) {
    // SAFETY: the verifier allows writing these fields of the context.
    unsafe {
        (*context).optlen = bytes as i32;
        (*context).retval = 0;
    }
}

#[inline(always)]
fn whole(context: *mut bpf_sockopt, origin: &OriginValue) {
    const BYTES: usize = size_of::<OriginValue>();
    let Some(room) = room::<BYTES>(context) else { return };
    // SAFETY: there are so many bytes on either side, and the buffer is the kernel's own, aligned.
    unsafe {
        core::ptr::copy_nonoverlapping(core::ptr::from_ref(origin).cast::<u64>(), room.cast(), BYTES / 8)
    };
    answered(context, BYTES);
}

/// `struct sockaddr_in`: family in host order, port and address in network order, zeroes.
#[inline(always)]
fn sockaddr_in(context: *mut bpf_sockopt, v4: [u8; 4], port: u16) {
    let Some(room) = room::<SOCKADDR_IN_BYTES>(context) else { return };
    // SAFETY: there are so many bytes, and the buffer is the kernel's own, aligned.
    unsafe {
        room.cast::<u16>().write(IPV4 as u16);
        room.add(2).cast::<u16>().write(port.to_be());
        room.add(4).cast::<u32>().write(u32::from_ne_bytes(v4));
        room.add(8).cast::<u64>().write(0);
    }
    answered(context, SOCKADDR_IN_BYTES);
}

/// `struct sockaddr_in6`: family in host order, port in network order, no flow, address, no scope.
#[inline(always)]
fn sockaddr_in6(context: *mut bpf_sockopt, v6: &Address, port: u16) {
    let Some(room) = room::<SOCKADDR_IN6_BYTES>(context) else { return };
    // SAFETY: there are so many bytes, and the buffer is the kernel's own, aligned.
    unsafe {
        room.cast::<u16>().write(IPV6 as u16);
        room.add(2).cast::<u16>().write(port.to_be());
        room.add(4).cast::<u32>().write(0);
        core::ptr::copy_nonoverlapping(v6.as_ptr().cast::<u32>(), room.add(8).cast::<u32>(), 4);
        room.add(24).cast::<u32>().write(0);
    }
    answered(context, SOCKADDR_IN6_BYTES);
}

/// An application sees the address it connected to.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(context: SockAddrContext) -> i32 {
    if let Some(origin) = own_origin(&context)
        && let Some(v4) = address::to_v4(&origin.destination)
    {
        point4(&context, v4, origin.port);
    }
    PASS
}

/// The same for IPv6.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(context: SockAddrContext) -> i32 {
    if let Some(origin) = own_origin(&context) {
        point6(&context, &origin.destination, origin.port);
    }
    PASS
}

/// Where the application that asks for its peer was going, if it was intercepted; on the agent's end the peer is the
/// application.
#[inline(always)]
fn own_origin(context: &SockAddrContext) -> Option<&'static OriginValue> {
    // SAFETY: the verifier allows these fields of the context.
    let (port, socket) =
        unsafe { ((*context.sock_addr).user_port, (*context.sock_addr).__bindgen_anon_1.sk) };
    if port as u16 != INTERCEPT_PORT.to_be() || socket.is_null() {
        return None;
    }
    let origin = kept(socket);
    if origin.is_null() {
        return None;
    }
    // SAFETY: the kernel's storage holds one origin, and lives as long as this program runs; the context is this
    // program's.
    let (origin, cookie) = unsafe { (&*origin, bpf_get_socket_cookie(context.sock_addr.cast())) };
    if origin.cookie == cookie { Some(origin) } else { None }
}

/// The origin kept with a socket, or null.
#[inline(always)]
fn kept(socket: *mut bpf_sock) -> *mut OriginValue {
    // SAFETY: the verifier checks that `socket` is a socket.
    unsafe { bpf_sk_storage_get(storage(), socket.cast(), core::ptr::null_mut(), 0) }.cast()
}

#[inline(always)]
fn storage() -> *mut core::ffi::c_void {
    core::ptr::from_ref(&INTERCEPTED).cast_mut().cast()
}

/// The peer's port, host byte order; the field holds it in the upper half, in network order.
#[inline(always)]
fn remote_port(context: &SockOpsContext) -> u16 {
    u16::from_be((context.remote_port() >> 16) as u16)
}

/// Where a socket goes: for one that was intercepted, where it was going.
#[inline(always)]
pub fn destination(context: &SockOpsContext) -> (Address, u16) {
    let port = remote_port(context);
    // SAFETY: the verifier allows this field; the pointer is checked before use.
    let socket = unsafe { (*context.ops).__bindgen_anon_2.sk };
    if port == INTERCEPT_PORT && !socket.is_null() {
        let origin = kept(socket);
        if !origin.is_null() {
            // SAFETY: the kernel's storage holds one origin.
            return unsafe { ((*origin).destination, (*origin).port) };
        }
    }
    (remote(context), port)
}

#[inline(always)]
pub fn local(context: &SockOpsContext) -> Address {
    if context.family() == IPV4 {
        return address::from_v4(context.local_ip4().to_ne_bytes());
    }
    let ops: *mut bpf_sock_ops = context.ops;
    // SAFETY: the verifier allows these fields of the context, one word at a time.
    unsafe { words((&raw const (*ops).local_ip6).cast()) }
}

#[inline(always)]
fn remote(context: &SockOpsContext) -> Address {
    if context.family() == IPV4 {
        return address::from_v4(context.remote_ip4().to_ne_bytes());
    }
    let ops: *mut bpf_sock_ops = context.ops;
    // SAFETY: as above.
    unsafe { words((&raw const (*ops).remote_ip6).cast()) }
}

/// Four words of a context, which the verifier wants read one at a time.
///
/// # Safety
/// `words` points to four words that the verifier allows to read.
#[inline(always)]
pub unsafe fn words(words: *const u32) -> Address {
    // SAFETY: the caller's promise.
    let [a, b, c, d] = unsafe {
        [
            words.read_volatile(),
            words.add(1).read_volatile(),
            words.add(2).read_volatile(),
            words.add(3).read_volatile(),
        ]
    };
    let mut address = [0; 16];
    address[0..4].copy_from_slice(&a.to_ne_bytes());
    address[4..8].copy_from_slice(&b.to_ne_bytes());
    address[8..12].copy_from_slice(&c.to_ne_bytes());
    address[12..16].copy_from_slice(&d.to_ne_bytes());
    address
}
