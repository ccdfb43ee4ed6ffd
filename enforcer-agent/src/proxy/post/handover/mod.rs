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
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use tracing::warn;

use super::listener::{Spot, place_of};
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
    /// Which one it is said to be.
    pub spot: Spot,
    /// The socket itself.
    pub socket: OwnedFd,
}

impl Handed {
    /// Asks the kernel whether it is what it is said to be.
    fn check(&self) -> io::Result<()> {
        let Spot { namespace, role, address } = self.spot;
        let said = (namespace, SocketAddr::new(address, role.port()));
        let found = place_of(&self.socket)?;
        if found == said { Ok(()) } else { Err(io::Error::other(format!("it listens at {found:?}"))) }
    }
}

/// What was handed over and is not yet taken up. As long as it is there nobody else can listen in its place: it must be
/// dropped as soon as every post that may want of it stands, which closes the rest.
#[derive(Debug, Default)]
pub struct Stock(BTreeMap<Spot, OwnedFd>);

impl Stock {
    /// Of everything that was handed over and is what it is said to be.
    #[must_use]
    pub fn new(handed: impl IntoIterator<Item = Handed>) -> Self {
        let checked = handed.into_iter().filter(|handed| match handed.check() {
            Ok(()) => true,
            Err(error) => {
                warn!(spot = ?handed.spot, %error, "what was handed over is not what it is said to be");
                false
            }
        });
        Self(checked.map(|Handed { spot, socket }| (spot, socket)).collect())
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
    pub fn left(&self) -> impl Iterator<Item = Spot> {
        self.0.keys().copied()
    }

    pub(super) fn take(&mut self, spot: Spot) -> Option<OwnedFd> {
        self.0.remove(&spot)
    }
}
