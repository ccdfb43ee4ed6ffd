//! Connections of the agent that belong to a workload's network namespace. The caller bounds how long they take.

use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockaddrStorage, bind, setsockopt, sockopt};
use tokio::net::{TcpSocket, TcpStream};

use super::namespace::Namespace;
use super::route::TRANSPARENT_MARK;

/// `IPV6_TRANSPARENT` of `linux/in6.h`.
const IPV6_TRANSPARENT: libc::c_int = 75;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The other end answers that nobody listens.
    #[error("connection refused")]
    Refused,
    /// There is no way to the other end, or a wall stands in it.
    #[error("unreachable: {0}")]
    Unreachable(io::Error),
    /// The other end does not answer.
    #[error("timed out")]
    TimedOut,
    /// The two ends are not of one family.
    #[error("{from} and {to} are not of one family")]
    Families {
        /// Where from.
        from: SocketAddr,
        /// Where to.
        to: SocketAddr,
    },
    /// The agent's own side failed.
    #[error("cannot {operation}: {error}")]
    Own {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

/// From a workload's namespace to the other end of a tunnel, with the workload's own address as its source.
///
/// # Errors
/// There is no connection.
pub async fn connect_out(namespace: &Namespace, destination: SocketAddr) -> Result<TcpStream, ConnectError> {
    let socket = namespace.tcp_socket(family(destination)).map_err(own("make a socket"))?;
    connect(socket, destination).await
}

/// To the workload in this namespace, with the original client's address as its source: nothing in the workload has to
/// know of the tunnel. If another connection has exactly these ends, another port of that address is taken.
/// Answers find back by the routes of the [`super::Post`].
///
/// # Errors
/// There is no connection.
pub async fn connect_in(
    namespace: &Namespace,
    source: SocketAddr,
    target: SocketAddr,
) -> Result<TcpStream, ConnectError> {
    if source.is_ipv4() != target.is_ipv4() {
        return Err(ConnectError::Families { from: source, to: target });
    }
    match connect(transparent(namespace, source)?, target).await {
        Err(ConnectError::Own { error, .. }) if is_taken(&error) => {}
        outcome => return outcome,
    }
    let any_port = SocketAddr::new(source.ip(), 0);
    connect(transparent(namespace, any_port)?, target).await
}

/// Ends a connection as a crash would: what was not sent is thrown away and the other end is told at once.
pub fn reset(stream: TcpStream) {
    let _ends_either_way = stream.set_zero_linger();
    drop(stream);
}

async fn connect(socket: OwnedFd, destination: SocketAddr) -> Result<TcpStream, ConnectError> {
    let socket = TcpSocket::from_std_stream(StdTcpStream::from(socket));
    socket.set_nodelay(true).map_err(own("set TCP_NODELAY"))?;
    socket.connect(destination).await.map_err(failure)
}

/// A socket that speaks from somebody else's address.
fn transparent(namespace: &Namespace, source: SocketAddr) -> Result<OwnedFd, ConnectError> {
    let socket = namespace.tcp_socket(family(source)).map_err(own("make a socket"))?;
    allow_any_source(&socket, source).map_err(own("set IP_TRANSPARENT"))?;
    setsockopt(&socket, sockopt::Mark, &TRANSPARENT_MARK).map_err(|error| failed("set SO_MARK", error))?;
    // One client port may speak to several ports of the workload.
    setsockopt(&socket, sockopt::ReuseAddr, &true).map_err(|error| failed("set SO_REUSEADDR", error))?;
    if source.port() == 0 {
        // The port is chosen with the destination in view: only all four together must be free.
        set_flag(&socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT)
            .map_err(own("set IP_BIND_ADDRESS_NO_PORT"))?;
    }
    match bind(socket.as_raw_fd(), &SockaddrStorage::from(source)) {
        // Somebody in the workload listens on the client's very address and port.
        Err(nix::Error::EADDRINUSE) if source.port() != 0 => {
            transparent(namespace, SocketAddr::new(source.ip(), 0))
        }
        Err(error) => Err(failed("bind the client's address", error)),
        Ok(()) => Ok(socket),
    }
}

fn allow_any_source(socket: &OwnedFd, source: SocketAddr) -> io::Result<()> {
    match source {
        SocketAddr::V4(_) => set_flag(socket, libc::SOL_IP, libc::IP_TRANSPARENT),
        SocketAddr::V6(_) => set_flag(socket, libc::SOL_IPV6, IPV6_TRANSPARENT),
    }
}

fn set_flag(socket: &impl AsFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` bytes of `on`, which lives through the call.
    let outcome = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, option, (&raw const on).cast(), length)
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const fn family(address: SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::Inet,
        SocketAddr::V6(_) => AddressFamily::Inet6,
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
}

fn failure(error: io::Error) -> ConnectError {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ECONNRESET) => ConnectError::Refused,
        Some(libc::ETIMEDOUT) => ConnectError::TimedOut,
        // EPERM and EACCES: a packet filter or a kernel program on the way.
        Some(
            libc::EHOSTUNREACH
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::ENETDOWN
            | libc::ENONET
            | libc::EPERM
            | libc::EACCES
            | libc::EPROTO
            | libc::ENOPROTOOPT,
        ) => ConnectError::Unreachable(error),
        _ => ConnectError::Own { operation: "connect", error },
    }
}

fn own(operation: &'static str) -> impl Fn(io::Error) -> ConnectError {
    move |error| ConnectError::Own { operation, error }
}

fn failed(operation: &'static str, error: nix::Error) -> ConnectError {
    ConnectError::Own { operation, error: error.into() }
}
