//! ICMP and ICMPv6 echo over a ping socket: the kernel writes the identifier and the checksum.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use enforcer_lab::outcome::Outcome;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const PAYLOAD: &[u8] = b"enforcer";
const HEADER_BYTES: usize = 8;

/// One echo; fine when its payload comes back.
pub(crate) fn echo(to: IpAddr, timeout_ms: u64) -> Outcome {
    Outcome::from(round(to, Duration::from_millis(timeout_ms)))
}

fn round(to: IpAddr, timeout: Duration) -> io::Result<()> {
    let (family, protocol, kind) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, ECHO_REQUEST_V4),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, ECHO_REQUEST_V6),
    };
    let fd: OwnedFd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)?;
    let socket = UdpSocket::from(fd);
    socket.set_read_timeout(Some(timeout))?;
    socket.connect(SocketAddr::new(to, 0))?;
    let mut request = vec![kind, 0, 0, 0, 0, 0, 0, 1];
    request.extend_from_slice(PAYLOAD);
    socket.send(&request)?;
    let mut reply = [0; 64];
    let length = socket.recv(&mut reply)?;
    match reply.get(HEADER_BYTES..length) {
        Some(payload) if payload == PAYLOAD => Ok(()),
        _ => Err(io::Error::other("the reply is not an echo of what was sent")),
    }
}
