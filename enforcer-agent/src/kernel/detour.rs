//! Proof that connections are taken up for the tunnel: the canary connects to an address of itself that no machine
//! has, in a network namespace of its own, and its own listener there must learn where it was going.

use std::ffi::CStr;
use std::io;
use std::os::fd::RawFd;

use enforcer_common::address::{Address, from_v4};
use enforcer_common::identity::CANARY;
use enforcer_common::maps::{
    ACTION_TUNNEL_ALWAYS, AddressValue, CGROUP_TUNNEL, CgroupValue, INTERCEPT_PORT, ORIGIN_LEVEL,
    ORIGIN_OPTION, OriginValue, PairKey, PairValue, RULE_TUNNEL, RuleValue, SLOT_INTRA_RULES, SLOT_PRESENT,
    TenantSlot, TenantValue,
};
use enforcer_core::enforce::EnforceError;

use super::child::{Answer, Child};
use super::error::kernel;
use super::tables::Tables;

/// Addresses of the documentation (RFC 5737, RFC 3849).
const NOWHERE_V4: [u8; 4] = [192, 0, 2, 1];
const NOWHERE_V6: Address = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// The discard service (RFC 863).
const PORT: u16 = 9;

/// The canary's rules: none but that it must take the tunnel to itself.
const PAIR: PairKey = PairKey { owner: CANARY, generation: u32::MAX, peer: CANARY };

const LOCALHOST_V4: [u8; 4] = [127, 0, 0, 1];
const LOCALHOST_V6: Address = 1_u128.to_be_bytes();

/// Both at `SOL_IP` and `SOL_IPV6`.
const SO_ORIGINAL_DST: i32 = 80;
/// How long a connection on loopback may take.
const PATIENCE_US: libc::suseconds_t = 500_000;

/// Makes the group the canary's, with listeners on loopback, and its own traffic the tunnel's.
pub(super) fn register(tables: &mut Tables, cgroup: u64) -> Result<(), EnforceError> {
    let group = CgroupValue {
        identity: CANARY,
        flags: CGROUP_TUNNEL,
        tunnel_v4: from_v4(LOCALHOST_V4),
        tunnel_v6: LOCALHOST_V6,
        ..CgroupValue::default()
    };
    let slot = TenantSlot {
        generation: PAIR.generation,
        flags: SLOT_PRESENT | SLOT_INTRA_RULES,
        ..TenantSlot::default()
    };
    let action = ACTION_TUNNEL_ALWAYS;
    let rule = RuleValue { rule: RULE_TUNNEL, action, shadow_action: action, ..RuleValue::default() };
    let pair = PairValue { default: rule, ..PairValue::default() };
    for address in addresses() {
        if tables.addresses.get(&address, 0).is_err() {
            let value = AddressValue { identity: CANARY, ..AddressValue::default() };
            tables.addresses.insert(address, value, 0).map_err(kernel("write", "ADDRESSES"))?;
        }
    }
    tables.pairs.insert(PAIR, pair, 0).map_err(kernel("write", "PAIRS"))?;
    tables.tenants.insert(CANARY, TenantValue { slots: [slot; 2] }, 0).map_err(kernel("write", "TENANTS"))?;
    tables.cgroups.insert(cgroup, group, 0).map_err(kernel("write", "CGROUPS"))
}

/// Takes out what [`register`] put in, but for the group.
pub(super) fn clean(tables: &mut Tables) -> Result<(), EnforceError> {
    if tables.tenants.get(&CANARY, 0).is_ok() {
        tables.tenants.remove(&CANARY).map_err(kernel("delete from", "TENANTS"))?;
    }
    if tables.pairs.get(&PAIR, 0).is_ok() {
        tables.pairs.remove(&PAIR).map_err(kernel("delete from", "PAIRS"))?;
    }
    for address in addresses() {
        if tables.addresses.get(&address, 0).is_ok_and(|value| value.identity == CANARY) {
            tables.addresses.remove(&address).map_err(kernel("delete from", "ADDRESSES"))?;
        }
    }
    Ok(())
}

fn addresses() -> [Address; 2] {
    [from_v4(NOWHERE_V4), NOWHERE_V6]
}

/// What was seen of a connection of either family: 1 for what was right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Seen {
    v4: Ways,
    v6: Ways,
}

/// What was seen of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Ways {
    /// The accepted end knew its origin.
    origin: u32,
    /// It answered with the original destination.
    original: u32,
    /// The client's peer was the original destination.
    peer: u32,
}

// SAFETY: `repr(C)`, and six words without padding.
unsafe impl Answer for Seen {}

impl Seen {
    /// By hook.
    pub(super) fn proofs(&self) -> [(&'static str, bool); 4] {
        let both = |of: fn(&Ways) -> u32| of(&self.v4) & of(&self.v6) == 1;
        [
            ("cgroup/sock_ops", both(|ways| ways.origin)),
            ("cgroup/getsockopt", both(|ways| ways.origin & ways.original)),
            ("cgroup/getpeername4", self.v4.peer == 1),
            ("cgroup/getpeername6", self.v6.peer == 1),
        ]
    }
}

/// Forks the child. What it sees before its group is the canary's means nothing.
pub(super) fn start(procs: &CStr) -> io::Result<(Child<Seen>, Seen)> {
    // SAFETY: both closures make system calls only.
    unsafe { Child::start(procs, || Listeners::open(), |listeners, _| listeners.attempt()) }
}

/// The agent's part of the play, in a network namespace of the child's own.
struct Listeners {
    v4: RawFd,
    v6: RawFd,
}

impl Listeners {
    /// # Safety
    /// Only system calls; for the child after the fork.
    unsafe fn open() -> Option<Self> {
        // SAFETY: the caller's promise.
        unsafe {
            if libc::unshare(libc::CLONE_NEWNET) != 0 || !loopback_up() {
                return None;
            }
            Some(Self {
                v4: listen(&v4(LOCALHOST_V4, INTERCEPT_PORT)),
                v6: listen(&v6(LOCALHOST_V6, INTERCEPT_PORT)),
            })
        }
    }

    /// # Safety
    /// Only system calls; for the child after the fork.
    unsafe fn attempt(&self) -> Seen {
        // SAFETY: the caller's promise.
        unsafe {
            Seen {
                v4: connect(self.v4, &v4(NOWHERE_V4, PORT), &from_v4(NOWHERE_V4), libc::SOL_IP),
                v6: connect(self.v6, &v6(NOWHERE_V6, PORT), &NOWHERE_V6, libc::SOL_IPV6),
            }
        }
    }
}

/// Connects to `to`, accepts at the listener, and asks both ends.
///
/// # Safety
/// Only system calls; for the child after the fork. `A` is a socket address.
unsafe fn connect<A: Named>(listener: RawFd, to: &A, destination: &Address, level: i32) -> Ways {
    let mut ways = Ways::default();
    // SAFETY: addresses and buffers outlive the calls.
    unsafe {
        let client = libc::socket(A::FAMILY, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if libc::connect(client, std::ptr::from_ref(to).cast(), length::<A>()) == 0 {
            let accepted = libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut());
            let mut origin = OriginValue::default();
            let found = answer(accepted, ORIGIN_LEVEL, ORIGIN_OPTION, &mut origin);
            let is_it = origin.destination == *destination && origin.port == PORT;
            ways.origin = u32::from(found && is_it && origin.identity == CANARY);
            let mut original = *to;
            original.blank();
            ways.original =
                u32::from(answer(accepted, level, SO_ORIGINAL_DST, &mut original) && original.same(to));
            let mut peer = *to;
            peer.blank();
            let mut len = length::<A>();
            let failed = libc::getpeername(client, (&raw mut peer).cast(), &raw mut len);
            ways.peer = u32::from(failed == 0 && peer.same(to));
            libc::close(accepted);
        }
        libc::close(client);
    }
    ways
}

/// # Safety
/// Any bytes are a `T`.
unsafe fn answer<T>(socket: RawFd, level: i32, option: i32, value: &mut T) -> bool {
    let mut len = length::<T>();
    // SAFETY: value and length outlive the call.
    let failed =
        unsafe { libc::getsockopt(socket, level, option, std::ptr::from_mut(value).cast(), &raw mut len) };
    failed == 0 && len == length::<T>()
}

/// A listener that waits no longer than it must; -1 where the family is missing.
///
/// # Safety
/// Only system calls. `A` is a socket address.
unsafe fn listen<A: Named>(at: &A) -> RawFd {
    // SAFETY: addresses and values outlive the calls.
    unsafe {
        let listener = libc::socket(A::FAMILY, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        let patience = libc::timeval { tv_sec: 0, tv_usec: PATIENCE_US };
        let value = (&raw const patience).cast();
        libc::setsockopt(listener, libc::SOL_SOCKET, libc::SO_RCVTIMEO, value, length::<libc::timeval>());
        libc::bind(listener, std::ptr::from_ref(at).cast(), length::<A>());
        libc::listen(listener, 4);
        listener
    }
}

/// # Safety
/// Only system calls.
unsafe fn loopback_up() -> bool {
    // SAFETY: all zero is a value of this C structure, and it outlives the calls.
    unsafe {
        let mut request: libc::ifreq = std::mem::zeroed();
        for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
            *to = libc::c_char::try_from(from).unwrap_or(0);
        }
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap_or(0);
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        let failed = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw mut request);
        libc::close(socket);
        failed == 0
    }
}

/// A socket address of one family.
trait Named: Copy {
    const FAMILY: i32;
    /// Forgets the address and port.
    fn blank(&mut self);
    /// The same family, address and port.
    fn same(&self, other: &Self) -> bool;
}

impl Named for libc::sockaddr_in {
    const FAMILY: i32 = libc::AF_INET;

    fn blank(&mut self) {
        self.sin_port = 0;
        self.sin_addr.s_addr = 0;
    }

    fn same(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.sin_family, it.sin_port, it.sin_addr.s_addr);
        key(self) == key(other)
    }
}

impl Named for libc::sockaddr_in6 {
    const FAMILY: i32 = libc::AF_INET6;

    fn blank(&mut self) {
        self.sin6_port = 0;
        self.sin6_addr.s6_addr = [0; 16];
    }

    fn same(&self, other: &Self) -> bool {
        let key = |it: &Self| (it.sin6_family, it.sin6_port, it.sin6_addr.s6_addr);
        key(self) == key(other)
    }
}

fn v4(address: [u8; 4], port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(0),
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address) },
        sin_zero: [0; 8],
    }
}

fn v6(address: Address, port: u16) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or(0),
        sin6_port: port.to_be(),
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr { s6_addr: address },
        sin6_scope_id: 0,
    }
}

fn length<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}
