//! Listeners outlive the process that made them: a successor gets the very sockets, with the connections that wait in
//! them, so that nobody is refused while agents change. What is handed over is believed in nothing: the kernel is asked
//! what each descriptor is.

mod message;
mod offer;
pub mod store;
mod take;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use enforcer_core::policy::model::Name;

use super::listener::Role;
use crate::door::unix::SocketError;

pub use offer::offer;
pub use take::take;

/// Listeners that a process hands over, at most.
pub const HANDED_MAX: usize = 65_536;

/// Why nothing was handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A system call failed.
    #[error("cannot {operation}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        error: io::Error,
    },
    /// The process at the other end is neither root's nor the agent's own user's.
    #[error("user {0} is a stranger")]
    Stranger(u32),
    /// What came is no handover that this version understands.
    #[error("not understood: {0}")]
    Message(&'static str),
    /// The other end stopped speaking.
    #[error("the other agent went silent")]
    Silent,
}

/// A listener as it was handed over, with what is said of it.
#[derive(Debug)]
pub struct Handed {
    /// Whose.
    pub workload: Name,
    /// What arrives.
    pub role: Role,
    /// Where it listens.
    pub address: IpAddr,
    /// The socket itself.
    pub socket: OwnedFd,
}

/// What was handed over and is not yet taken up. Dropping it closes the rest.
#[derive(Debug, Default)]
pub struct Stock(BTreeMap<(Name, Role, IpAddr), OwnedFd>);

impl Stock {
    /// Of everything that was handed over. Of two that say the same of themselves the later stays.
    #[must_use]
    pub fn new(handed: impl IntoIterator<Item = Handed>) -> Self {
        let named = |Handed { workload, role, address, socket }| ((workload, role, address), socket);
        Self(handed.into_iter().map(named).collect())
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left, as [`store::Store::forget`] takes it.
    pub fn left(&self) -> impl Iterator<Item = (&Name, Role, IpAddr)> {
        self.0.keys().map(|(workload, role, address)| (workload, *role, *address))
    }

    pub(super) fn take(&mut self, workload: &Name, role: Role, address: IpAddr) -> Option<OwnedFd> {
        self.0.remove(&(Arc::clone(workload), role, address))
    }
}
