//! A listening socket of the agent's in a workload's network namespace.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use enforcer_common::maps::{INTERCEPT_PORT, TUNNEL_PORT};
use enforcer_core::policy::model::Name;
use nix::sys::socket::{
    AddressFamily, Backlog, SockType, SockaddrStorage, bind, getsockopt, listen, setsockopt, sockopt,
};
use tokio::net::{TcpListener, TcpStream};

use super::namespace::{Namespace, cookie_of};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// What arrives at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The workload's own connections, which the kernel turned around.
    Intercept,
    /// Other agents' tunnels to the workload.
    Tunnel,
}

impl Role {
    /// Its port.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Intercept => INTERCEPT_PORT,
            Self::Tunnel => TUNNEL_PORT,
        }
    }
}

/// Which listener: there is one of its kind in each namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// Cookie of the network namespace.
    pub namespace: u64,
    /// What arrives.
    pub role: Role,
    /// Where it listens; the port is the role's.
    pub address: IpAddr,
}

/// A listener. A clone is the same one; it listens until the last is dropped.
#[derive(Clone, Debug)]
pub struct Listener {
    workload: Name,
    spot: Spot,
    socket: Arc<TcpListener>,
}

impl Listener {
    /// Whose it is.
    #[must_use]
    pub const fn workload(&self) -> &Name {
        &self.workload
    }

    /// Which one it is.
    #[must_use]
    pub const fn spot(&self) -> Spot {
        self.spot
    }

    /// What arrives.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.spot.role
    }

    /// Where it listens; the port is the role's.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.spot.address
    }

    /// The next connection, and where it comes from.
    ///
    /// # Errors
    /// What `accept` says; see [`crate::door::accept::rest_after`].
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    /// A new one. The runtime must be there.
    pub(super) fn bind(namespace: &Namespace, workload: &Name, spot: Spot) -> io::Result<Self> {
        let Spot { namespace: _, role, address } = spot;
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = namespace.tcp_socket(family)?;
        // Connections of a predecessor that linger do not keep the port. Never SO_REUSEPORT: the port is ours alone.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, role.port())))?;
        listen(&socket, Backlog::new(BACKLOG)?)?;
        Self::of(socket, workload, spot)
    }

    /// One that listens at this spot already.
    pub(super) fn of(socket: OwnedFd, workload: &Name, spot: Spot) -> io::Result<Self> {
        let socket = StdTcpListener::from(socket);
        socket.set_nonblocking(true)?;
        let socket = Arc::new(TcpListener::from_std(socket)?);
        Ok(Self { workload: Arc::clone(workload), spot, socket })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Where a socket listens, in the kernel's own words.
pub(super) fn place_of(socket: &OwnedFd) -> io::Result<(u64, SocketAddr)> {
    let is_stream = getsockopt(socket, sockopt::SockType)? == SockType::Stream;
    if !is_stream || !getsockopt(socket, sockopt::AcceptConn)? {
        return Err(io::Error::other("it is no listening socket"));
    }
    let address = StdTcpListener::from(socket.try_clone()?).local_addr()?;
    Ok((cookie_of(socket)?, address))
}
