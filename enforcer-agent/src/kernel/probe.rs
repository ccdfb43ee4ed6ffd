//! The child of the canary that tries each hook, before and after its group is made a tenant's.

use std::ffi::CString;
use std::io;
use std::os::fd::RawFd;

use enforcer_common::maps::SocketTag;

use super::child::{Answer, Child};
use super::sys;

/// Errno of each attempt; 0 when it went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Attempts {
    pub(super) connect4: i32,
    pub(super) connect6: i32,
    pub(super) sendmsg4: i32,
    pub(super) sendmsg6: i32,
    pub(super) egress: i32,
    pub(super) device: i32,
    /// Identity found with a socket that was just made, bound to IPv4, bound to IPv6.
    pub(super) tags: [u32; 3],
    /// Port of the socket that waits for a datagram, host byte order.
    pub(super) port: u32,
}

const _: () = assert!(size_of::<Attempts>() == 40);

// SAFETY: `repr(C)`, and ten words without padding.
unsafe impl Answer for Attempts {}

/// What the child needs, made before the fork.
pub(super) struct Job {
    /// `cgroup.procs` of the group it joins.
    pub(super) procs: CString,
    /// A device node to open.
    pub(super) device: CString,
    /// Descriptor of the socket storage table.
    pub(super) storage: RawFd,
}

/// Forks the child, and returns what it could do while its group was nobody's.
pub(super) fn start(job: &Job) -> io::Result<(Child<Attempts>, Attempts)> {
    // SAFETY: both closures make system calls only.
    unsafe {
        Child::start(&job.procs, || Some(Sockets::open()), |sockets, round| sockets.attempt(job, round))
    }
}

/// Sockets made while the group was nobody's.
struct Sockets {
    /// Connected to the discard port.
    connected: RawFd,
    /// Bound, and waiting.
    waiting: RawFd,
    late4: RawFd,
    late6: RawFd,
}

impl Sockets {
    /// # Safety
    /// Only system calls; for the child after the fork.
    unsafe fn open() -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            let connected = udp4();
            connect4(connected);
            let waiting = udp4();
            bind4(waiting);
            Self { connected, waiting, late4: udp4(), late6: udp6() }
        }
    }

    /// # Safety
    /// Only system calls; for the child after the fork.
    unsafe fn attempt(&self, job: &Job, round: u32) -> Attempts {
        let mut attempts = Attempts::default();
        // SAFETY: the caller's promise.
        unsafe {
            let (fresh4, fresh6) = (udp4(), udp6());
            let made = udp4();
            if round == 1 {
                bind4(self.late4);
                bind6(self.late6);
                attempts.tags =
                    [tag(job.storage, made), tag(job.storage, self.late4), tag(job.storage, self.late6)];
            }
            attempts.sendmsg4 = send4(fresh4);
            attempts.sendmsg6 = send6(fresh6);
            attempts.connect4 = connect4(fresh4);
            attempts.connect6 = connect6(fresh6);
            // An earlier refusal by the peer may be waiting on the socket: the second attempt is the answer.
            attempts.egress = send(self.connected);
            attempts.egress = send(self.connected);
            attempts.device = open_device(job);
            attempts.port = port_of(self.waiting);
            for fd in [fresh4, fresh6, made] {
                libc::close(fd);
            }
        }
        attempts
    }
}

/// The discard service, where nobody is hurt (RFC 863).
const DISCARD: u16 = 9;

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(-1)
}

unsafe fn udp4() -> RawFd {
    // SAFETY: a plain system call.
    unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) }
}

unsafe fn udp6() -> RawFd {
    // SAFETY: a plain system call.
    unsafe { libc::socket(libc::AF_INET6, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0) }
}

fn loopback4(port: u16) -> libc::sockaddr_in {
    // SAFETY: all zero is a value of this C structure.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::sa_family_t::try_from(libc::AF_INET).unwrap_or(0);
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    address
}

fn loopback6(port: u16) -> libc::sockaddr_in6 {
    // SAFETY: all zero is a value of this C structure.
    let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = libc::sa_family_t::try_from(libc::AF_INET6).unwrap_or(0);
    address.sin6_port = port.to_be();
    address.sin6_addr.s6_addr = 1_u128.to_be_bytes();
    address
}

fn length<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(0)
}

unsafe fn connect4(fd: RawFd) -> i32 {
    let to = loopback4(DISCARD);
    // SAFETY: the address outlives the call.
    let failed = unsafe { libc::connect(fd, (&raw const to).cast(), length::<libc::sockaddr_in>()) };
    if failed == 0 { 0 } else { errno() }
}

unsafe fn connect6(fd: RawFd) -> i32 {
    let to = loopback6(DISCARD);
    // SAFETY: the address outlives the call.
    let failed = unsafe { libc::connect(fd, (&raw const to).cast(), length::<libc::sockaddr_in6>()) };
    if failed == 0 { 0 } else { errno() }
}

unsafe fn bind4(fd: RawFd) {
    let at = loopback4(0);
    // SAFETY: the address outlives the call.
    unsafe { libc::bind(fd, (&raw const at).cast(), length::<libc::sockaddr_in>()) };
}

unsafe fn bind6(fd: RawFd) {
    let at = loopback6(0);
    // SAFETY: the address outlives the call.
    unsafe { libc::bind(fd, (&raw const at).cast(), length::<libc::sockaddr_in6>()) };
}

unsafe fn send4(fd: RawFd) -> i32 {
    let to = loopback4(DISCARD);
    // SAFETY: buffer and address outlive the call.
    let sent = unsafe {
        libc::sendto(fd, c"c".as_ptr().cast(), 1, 0, (&raw const to).cast(), length::<libc::sockaddr_in>())
    };
    if sent == 1 { 0 } else { errno() }
}

unsafe fn send6(fd: RawFd) -> i32 {
    let to = loopback6(DISCARD);
    // SAFETY: buffer and address outlive the call.
    let sent = unsafe {
        libc::sendto(fd, c"c".as_ptr().cast(), 1, 0, (&raw const to).cast(), length::<libc::sockaddr_in6>())
    };
    if sent == 1 { 0 } else { errno() }
}

unsafe fn send(fd: RawFd) -> i32 {
    // SAFETY: the buffer outlives the call.
    let sent = unsafe { libc::send(fd, c"c".as_ptr().cast(), 1, 0) };
    if sent == 1 { 0 } else { errno() }
}

unsafe fn open_device(job: &Job) -> i32 {
    // SAFETY: the path is a C string that outlives the call.
    let fd = unsafe { libc::open(job.device.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) };
    if fd < 0 {
        return errno();
    }
    // SAFETY: just opened.
    unsafe { libc::close(fd) };
    0
}

unsafe fn port_of(fd: RawFd) -> u32 {
    let mut address = loopback4(0);
    let mut len = length::<libc::sockaddr_in>();
    // SAFETY: address and length outlive the call.
    let failed = unsafe { libc::getsockname(fd, (&raw mut address).cast(), &raw mut len) };
    if failed == 0 { u32::from(u16::from_be(address.sin_port)) } else { 0 }
}

fn tag(storage: RawFd, socket: RawFd) -> u32 {
    sys::map_lookup::<RawFd, SocketTag>(storage, &socket).map_or(0, |tag| tag.identity)
}
