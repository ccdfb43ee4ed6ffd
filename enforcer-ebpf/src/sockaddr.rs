//! `connect()` and `sendmsg()`: an early refusal that the application can understand (`EPERM` at once instead
//! of a timeout). The packet hooks decide again.

use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_ktime_get_coarse_ns};
use aya_ebpf::macros::cgroup_sock_addr;
use aya_ebpf::programs::SockAddrContext;
use enforcer_common::address::{self, Address};
use enforcer_common::event::{HOOK_CONNECT, HOOK_SENDMSG};
use enforcer_common::identity;
use enforcer_common::maps::RULE_NO_MATCH;
use enforcer_common::packet::{Headers, PROTOCOL_TCP};
use enforcer_common::verdict::Verdict;
use enforcer_common::wall;

use crate::account::{Place, account};
use crate::tables::{Kernel, settings};
use crate::{response, tag, tunnel};

/// `AF_INET`: a call whose address fields are IPv4's.
pub const IPV4: u32 = 2;
/// `AF_INET6`: one whose fields are IPv6's, of a mapped IPv4 address too.
pub const IPV6: u32 = 10;

const PASS: i32 = 1;
const REFUSE: i32 = 0;

#[cgroup_sock_addr(connect4)]
pub fn connect4(context: SockAddrContext) -> i32 {
    judge::<IPV4>(&context, v4(&context), HOOK_CONNECT)
}

#[cgroup_sock_addr(connect6)]
pub fn connect6(context: SockAddrContext) -> i32 {
    judge::<IPV6>(&context, v6(&context), HOOK_CONNECT)
}

#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(context: SockAddrContext) -> i32 {
    judge::<IPV4>(&context, v4(&context), HOOK_SENDMSG)
}

#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(context: SockAddrContext) -> i32 {
    judge::<IPV6>(&context, v6(&context), HOOK_SENDMSG)
}

#[inline(always)]
fn v4(context: &SockAddrContext) -> Address {
    // SAFETY: the verifier allows this field of the context.
    address::from_v4(unsafe { (*context.sock_addr).user_ip4 }.to_ne_bytes())
}

#[inline(always)]
fn v6(context: &SockAddrContext) -> Address {
    // SAFETY: the verifier allows these fields of the context, one word at a time.
    unsafe { tunnel::words((&raw const (*context.sock_addr).user_ip6).cast()) }
}

/// Puts another IPv4 address and port into the call.
#[inline(always)]
pub fn point4(context: &SockAddrContext, address: [u8; 4], port: u16) {
    // SAFETY: the verifier allows writing these fields of the context.
    unsafe {
        (&raw mut (*context.sock_addr).user_ip4).write_volatile(u32::from_ne_bytes(address));
        (&raw mut (*context.sock_addr).user_port).write_volatile(u32::from(port.to_be()));
    }
}

/// Puts another IPv6 address and port into the call.
#[inline(always)]
pub fn point6(context: &SockAddrContext, address: &Address, port: u16) {
    let [a, b, c, d] = words_of(address);
    // SAFETY: the verifier allows writing these fields of the context, one word at a time.
    unsafe {
        let words = (&raw mut (*context.sock_addr).user_ip6).cast::<u32>();
        words.write_volatile(a);
        words.add(1).write_volatile(b);
        words.add(2).write_volatile(c);
        words.add(3).write_volatile(d);
        (&raw mut (*context.sock_addr).user_port).write_volatile(u32::from(port.to_be()));
    }
}

#[inline(always)]
const fn words_of(address: &Address) -> [u32; 4] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *address;
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

/// The port the socket has, host byte order; 0 before it has one.
#[inline(always)]
fn own_port(context: &SockAddrContext) -> u16 {
    // SAFETY: the verifier allows this field of the context; the pointer is checked before use.
    let socket = unsafe { (*context.sock_addr).__bindgen_anon_1.sk };
    if socket.is_null() {
        return 0;
    }
    // SAFETY: the verifier allows this field of a socket.
    unsafe { (*socket).src_port as u16 }
}

/// The drop reason of a response that refuses this call. Only a TCP connection is new for certain; the rest is left to
/// its packets. They are what takes a token under a limit, but for those that the tunnel carries.
#[inline(always)]
fn response(hook: u8, protocol: u8, tenant: u32, tunnelled: bool, now_ns: u64) -> u32 {
    if hook != HOOK_CONNECT || protocol != PROTOCOL_TCP {
        return 0;
    }
    if tunnelled { response::refusal(tenant, now_ns) } else { response::denial(tenant, now_ns) }
}

#[inline(always)]
fn judge<const FAMILY: u32>(context: &SockAddrContext, destination: Address, hook: u8) -> i32 {
    let asker = tag::of_current();
    if !identity::is_tenant(asker.identity) {
        return PASS;
    }
    // SAFETY: the verifier allows these fields of the context.
    let (port, protocol) = unsafe { ((*context.sock_addr).user_port, (*context.sock_addr).protocol) };
    if hook == HOOK_CONNECT && protocol as u8 == PROTOCOL_TCP {
        tunnel::forget(context);
    }
    let port = u16::from_be(port as u16);
    // SAFETY: the helper takes no argument.
    let now_ns = unsafe { bpf_ktime_get_coarse_ns() };
    let headers = Headers {
        destination,
        source_port: own_port(context),
        destination_port: port,
        service: port,
        protocol: protocol as u8,
        ..Headers::default()
    };
    let mut judgement = wall::toward(&Kernel::now(), &settings(), asker.identity, now_ns, &headers);
    let tunnelled = hook == HOOK_CONNECT && judgement.verdict.asks_for_tunnel();
    if judgement.verdict.passes() || tunnelled {
        let refused = response(hook, headers.protocol, asker.identity, tunnelled, now_ns);
        if refused != 0 {
            judgement.verdict = Verdict::deny(RULE_NO_MATCH, refused as u16);
        } else if !tunnelled
            || tunnel::intercept::<FAMILY>(context, &asker, &headers, judgement.verdict.rule) != 0
        {
            return PASS;
        }
    }
    let place = Place {
        hook,
        interface: 0,
        bytes: 0,
        network: 0,
        cgroup: asker.cgroup,
        // SAFETY: the context is this program's.
        cookie: unsafe { bpf_get_socket_cookie(context.sock_addr.cast()) },
    };
    if account::<true>(&judgement, &headers, &place, now_ns, core::ptr::null_mut()) != 0 {
        PASS
    } else {
        REFUSE
    }
}
