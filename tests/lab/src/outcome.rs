//! What came of one attempt, in one word: what the probe prints and the tests compare.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// What came of one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// There and back again, byte for byte.
    Ok,
    /// Nobody listens there: the packets arrived, and so did the answer.
    Refused,
    /// No answer within the time given.
    TimedOut,
    /// The kernel said EPERM at once.
    NotPermitted,
    /// An ICMP error or a missing route.
    Unreachable,
    /// The device node exists and its driver does not (ENXIO, ENODEV): the gate let it pass.
    NoDriver,
    /// Anything else.
    Failed {
        /// What the kernel said.
        error: String,
    },
}

impl Outcome {
    /// True when a wall may be behind it: silence, or EPERM.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::TimedOut | Self::NotPermitted)
    }
}

impl From<io::Result<()>> for Outcome {
    fn from(result: io::Result<()>) -> Self {
        match result {
            Ok(()) => Self::Ok,
            Err(error) => Self::from(error),
        }
    }
}

impl From<io::Error> for Outcome {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM) => Self::NotPermitted,
            Some(libc::ECONNREFUSED) => Self::Refused,
            Some(libc::EHOSTUNREACH | libc::ENETUNREACH) => Self::Unreachable,
            Some(libc::ENXIO | libc::ENODEV) => Self::NoDriver,
            Some(libc::EAGAIN | libc::ETIMEDOUT | libc::EINPROGRESS) => Self::TimedOut,
            _ if error.kind() == io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Failed { error: error.to_string() },
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Refused => f.write_str("refused"),
            Self::TimedOut => f.write_str("timed-out"),
            Self::NotPermitted => f.write_str("not-permitted"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::NoDriver => f.write_str("no-driver"),
            Self::Failed { error } => write!(f, "failed: {error}"),
        }
    }
}
