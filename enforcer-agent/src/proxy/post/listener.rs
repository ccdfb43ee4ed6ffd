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

/// A listener. A clone is the same one; it listens until the last is dropped.
#[derive(Clone, Debug)]
pub struct Listener {
    workload: Name,
    role: Role,
    address: IpAddr,
    socket: Arc<TcpListener>,
}

impl Listener {
    /// Whose it is.
    #[must_use]
    pub const fn workload(&self) -> &Name {
        &self.workload
    }

    /// What arrives.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Where it listens; the port is the role's.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
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
    pub(super) fn bind(
        namespace: &Namespace,
        workload: &Name,
        role: Role,
        address: IpAddr,
    ) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = namespace.tcp_socket(family)?;
        // Connections of a predecessor that linger do not keep the port. Never SO_REUSEPORT: the port is ours alone.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
        if address.is_ipv6() {
            setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
        }
        bind(socket.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(address, role.port())))?;
        listen(&socket, Backlog::new(BACKLOG)?)?;
        Self::of(socket, workload, role, address)
    }

    /// One that a predecessor made, if it is what it is said to be.
    pub(super) fn adopt(
        socket: OwnedFd,
        namespace: &Namespace,
        workload: &Name,
        role: Role,
        address: IpAddr,
    ) -> io::Result<Self> {
        let found = place_of(&socket)?;
        let wanted = (namespace.cookie(), SocketAddr::new(address, role.port()));
        if found != wanted {
            return Err(io::Error::other(format!("it listens at {found:?} and not at {wanted:?}")));
        }
        Self::of(socket, workload, role, address)
    }

    fn of(socket: OwnedFd, workload: &Name, role: Role, address: IpAddr) -> io::Result<Self> {
        let socket = StdTcpListener::from(socket);
        socket.set_nonblocking(true)?;
        let socket = Arc::new(TcpListener::from_std(socket)?);
        Ok(Self { workload: Arc::clone(workload), role, address, socket })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The namespace's cookie and the address of a listening TCP socket, in the kernel's own words.
pub(super) fn place_of(socket: &OwnedFd) -> io::Result<(u64, SocketAddr)> {
    let is_tcp = getsockopt(socket, sockopt::SockType)? == SockType::Stream;
    if !is_tcp || !getsockopt(socket, sockopt::AcceptConn)? {
        return Err(io::Error::other("it is no listening socket"));
    }
    let address = StdTcpListener::from(socket.try_clone()?).local_addr()?;
    Ok((cookie_of(socket)?, address))
}
