//! A post: everything the agent has in one workload's network namespace. It is there whole or not at all.

use std::fmt::{self, Display};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use enforcer_core::node::TunnelEnd;
use enforcer_core::policy::model::Name;
use tracing::debug;

use super::handover::Stock;
use super::listener::{Listener, Role, Spot};
use super::namespace::Namespace;
use super::route::{Families, RouteError, Way};

/// Why a post cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Somebody else listens there: the workload itself, or another agent.
    #[error("port {port} of {address} is taken: the workload must leave it to the agent")]
    Taken {
        /// The workload's address.
        address: IpAddr,
        /// The agent's port.
        port: u16,
    },
    /// None of its addresses is in its namespace (yet).
    #[error("none of its addresses is in network namespace {0}")]
    NoAddress(String),
    /// Listening failed otherwise.
    #[error("cannot listen on {address} port {port}: {error}")]
    Listen {
        /// The workload's address.
        address: IpAddr,
        /// The agent's port.
        port: u16,
        /// Why.
        error: io::Error,
    },
    /// Answers would not find back.
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// Whose network it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A workload with a network of its own: its addresses.
    Pod(Vec<IpAddr>),
    /// The node's network, which all host-network workloads share: one post for all of them, on loopback, where
    /// nothing arrives from elsewhere.
    Node,
}

impl Place {
    fn addresses(&self) -> &[IpAddr] {
        const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        match self {
            Self::Pod(addresses) => addresses,
            Self::Node => &LOOPBACK,
        }
    }

    const fn roles(&self) -> &'static [Role] {
        match self {
            Self::Pod(_) => &[Role::Intercept, Role::Tunnel],
            Self::Node => &[Role::Intercept],
        }
    }
}

/// What a post is opened for.
#[derive(Clone, Debug)]
pub struct PostSpec {
    /// The workload, or a name that no workload has for the node's own.
    pub workload: Name,
    /// Where.
    pub namespace: Namespace,
    /// What of.
    pub place: Place,
}

/// The agent's post with one workload. Dropping it removes what it put into the namespace; listeners that were cloned
/// from it listen on until they are dropped too.
#[derive(Debug)]
pub struct Post {
    spec: PostSpec,
    listeners: Vec<Listener>,
    missing: Vec<IpAddr>,
    way: Way,
    is_left: bool,
}

impl Post {
    /// Opens one, with the listeners of a predecessor where they fit. It must be called within the runtime that will
    /// accept; it makes system calls, and never waits.
    ///
    /// # Errors
    /// Something of it is not to be had; then nothing of it stays.
    pub fn open(spec: PostSpec, stock: &mut Stock) -> Result<Self, PostError> {
        let way = Way::new(spec.namespace.clone());
        let mut post = Self { spec, listeners: Vec::new(), missing: Vec::new(), way, is_left: false };
        let wanted = post.spec.place.addresses().to_vec();
        post.listen(&wanted, stock)?;
        if post.listeners.is_empty() {
            return Err(PostError::NoAddress(post.spec.namespace.name().to_owned()));
        }
        post.lay()?;
        Ok(post)
    }

    /// Listens on addresses that have come since it was opened: an IPv6 address takes a second until it is its
    /// workload's. True when there are any; then [`Self::end`] and [`Self::listeners`] have changed.
    ///
    /// # Errors
    /// As for [`Self::open`]; what stood before still stands.
    pub fn complete(&mut self) -> Result<bool, PostError> {
        let (wanted, before) = (std::mem::take(&mut self.missing), self.listeners.len());
        let outcome =
            self.listen(&wanted, &mut Stock::default()).and_then(|()| self.lay().map_err(Into::into));
        if let Err(error) = outcome {
            self.listeners.truncate(before);
            self.missing = wanted;
            return Err(error);
        }
        Ok(self.listeners.len() > before)
    }

    /// What it was opened for.
    #[must_use]
    pub const fn spec(&self) -> &PostSpec {
        &self.spec
    }

    /// Where it listens.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Addresses that are not in the namespace (yet).
    #[must_use]
    pub fn missing(&self) -> &[IpAddr] {
        &self.missing
    }

    /// Where the kernel may send the workload's connections.
    #[must_use]
    pub fn end(&self) -> TunnelEnd {
        let mut end = TunnelEnd::default();
        for listener in self.listeners.iter().filter(|listener| listener.role() == Role::Intercept) {
            match listener.address() {
                IpAddr::V4(v4) => _ = end.v4.get_or_insert(v4),
                IpAddr::V6(v6) => _ = end.v6.get_or_insert(v6),
            }
        }
        end
    }

    /// Goes without tidying up: a successor stands here.
    pub fn leave(mut self) {
        self.is_left = true;
    }

    /// Closes it, and says what could not be removed from the namespace.
    ///
    /// # Errors
    /// A route stayed, which does nothing without us.
    pub fn close(mut self) -> Result<(), RouteError> {
        self.is_left = true;
        self.way.lift()
    }

    fn listen(&mut self, wanted: &[IpAddr], stock: &mut Stock) -> Result<(), PostError> {
        for address in wanted {
            for role in self.spec.place.roles() {
                match self.listener(*role, *address, stock) {
                    Ok(listener) => self.listeners.push(listener),
                    Err(error) if is_absent(&error) => {
                        // It may have gone between one role and the next.
                        self.listeners.retain(|listener| listener.address() != *address);
                        self.missing.push(*address);
                        break;
                    }
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        return Err(PostError::Taken { address: *address, port: role.port() });
                    }
                    Err(error) => {
                        return Err(PostError::Listen { address: *address, port: role.port(), error });
                    }
                }
            }
        }
        Ok(())
    }

    fn listener(&self, role: Role, address: IpAddr, stock: &mut Stock) -> io::Result<Listener> {
        let PostSpec { workload, namespace, place: _ } = &self.spec;
        let spot = Spot { namespace: namespace.cookie(), role, address };
        match stock.take(spot) {
            Some(socket) => Listener::of(socket, workload, spot),
            None => Listener::bind(namespace, workload, spot),
        }
    }

    fn lay(&mut self) -> Result<(), RouteError> {
        match self.spec.place {
            Place::Pod(_) => self.way.lay(self.families()),
            Place::Node => Ok(()),
        }
    }

    fn families(&self) -> Families {
        let has = |is: fn(&IpAddr) -> bool| self.listeners.iter().any(|listener| is(&listener.address()));
        Families { v4: has(IpAddr::is_ipv4), v6: has(IpAddr::is_ipv6) }
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if self.is_left {
            return;
        }
        if let Err(error) = self.way.lift() {
            debug!(workload = %self.spec.workload, %error, "a post left something behind");
        }
    }
}

impl Display for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.spec.workload, self.spec.namespace.name())
    }
}

/// The address is not the namespace's, is still being checked for duplicates, or its family is off there.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}
