//! The doors: a Unix socket whose callers the kernel names, and, only if asked for, a network socket whose
//! callers a certificate names.

pub mod guests;
pub mod local;
pub mod network;
mod peer;
pub mod tls;
mod verifier;

use crate::door::unix::SocketError;

/// Why a door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// A system call failed.
    #[error("cannot {operation} {place}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which socket or file.
        place: String,
        /// Why it failed.
        error: std::io::Error,
    },
    /// Another agent answers there.
    #[error("{0} is another agent's: it answers")]
    InUse(String),
    /// Something is there that is no socket.
    #[error("{0} is there and is no socket; move it away")]
    NoSocket(String),
    /// The key can be read by others.
    #[error("{path} has mode {mode:04o}: a private key may be readable for its owner and group at most")]
    KeyPermissions {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A PEM file holds nothing of what it should.
    #[error("{path}: {what}")]
    Pem {
        /// The file.
        path: String,
        /// What is missing or wrong.
        what: String,
    },
    /// Certificate, key and authorities do not go together.
    #[error("the listener's certificates cannot be used: {0}")]
    Tls(String),
}

impl From<SocketError> for ListenError {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::Io { operation, place, error } => Self::Io { operation, place, error },
            SocketError::InUse(place) => Self::InUse(place),
            SocketError::NoSocket(place) => Self::NoSocket(place),
        }
    }
}

impl ListenError {
    pub(crate) fn io(operation: &'static str, place: impl ToString, error: std::io::Error) -> Self {
        Self::Io { operation, place: place.to_string(), error }
    }
}
