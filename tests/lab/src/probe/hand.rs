//! Connecting for somebody else, who holds the other end of standard input.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use enforcer_lab::hand;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Connects, from a port when one is given, and hands over what came of it.
pub(crate) fn hand(to: SocketAddr, from_port: Option<u16>, timeout_ms: u64) -> Result<()> {
    let outcome = match from_port {
        None => TcpStream::connect_timeout(&to, Duration::from_millis(timeout_ms)),
        Some(port) => from(port, to, timeout_ms),
    };
    hand::give(io::stdin().as_raw_fd(), &outcome)
}

fn from(port: u16, to: SocketAddr, timeout_ms: u64) -> io::Result<TcpStream> {
    let (family, any): (_, IpAddr) = if to.is_ipv4() {
        (AddressFamily::Inet, Ipv4Addr::UNSPECIFIED.into())
    } else {
        (AddressFamily::Inet6, Ipv6Addr::UNSPECIFIED.into())
    };
    let socket: OwnedFd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    let patience = TimeVal::milliseconds(i64::try_from(timeout_ms).unwrap_or(i64::MAX));
    // Which is the limit of a connect as well, socket(7).
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(any, port)))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(0))?;
    Ok(TcpStream::from(socket))
}
