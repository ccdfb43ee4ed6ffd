//! How a flow went, and how it ended.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use enforcer_core::proxy::native::{Kind, NativeError, RefuseCode};

use crate::proxy::tls::TlsError;

/// What a flow may take its time with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For the other end's ACCEPT.
    pub accept: Duration,
    /// With one direction ended, and nothing flowing.
    pub half_close: Duration,
}

/// What a flow has carried so far; others may look while it goes on.
#[derive(Debug, Default)]
pub struct Traffic {
    sent: AtomicU64,
    received: AtomicU64,
    is_accepted: AtomicBool,
}

impl Traffic {
    /// Bytes from the workload into the tunnel.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes from the tunnel to the workload.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// True once the workload at the other end took the connection.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.is_accepted.load(Ordering::Relaxed)
    }

    pub(in crate::proxy) fn add_sent(&self, bytes: usize) {
        self.sent.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(in crate::proxy) fn add_received(&self, bytes: usize) {
        self.received.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(in crate::proxy) fn accepted(&self) {
        self.is_accepted.store(true, Ordering::Relaxed);
    }
}

/// Frames that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowError {
    /// No frame of ours.
    #[error(transparent)]
    Frame(#[from] NativeError),
    /// A frame where it does not belong.
    #[error("a frame of kind {kind:?} came {when}")]
    Order {
        /// What came.
        kind: Kind,
        /// In which state.
        when: &'static str,
    },
    /// The connection was closed in the middle of a frame.
    #[error("the connection was closed in the middle of a frame")]
    Cut,
}

/// How a flow ended. The connection may carry another one after [`Ended::Clean`] only, and the workload's socket is
/// to be dropped after anything but [`Ended::Unanswered`]: it is made to reset the workload where that is due.
#[derive(Debug)]
pub enum Ended<C> {
    /// Both directions, by FIN.
    Clean,
    /// The other end opened no flow.
    Refused(RefuseCode),
    /// The connection broke before the other end answered. Nothing was taken from the workload's socket, and nobody has
    /// read what it said: the flow may be tried again on another connection.
    Unanswered(TlsError),
    /// The other end did not answer in time.
    AcceptTimeout,
    /// The workload here reset its connection, or is gone.
    LocalReset(io::Error),
    /// The workload at the other end did.
    PeerReset,
    /// One direction had ended, and nothing flowed in the other.
    HalfCloseTimeout,
    /// Whoever watches over the flow ended it.
    Cancelled(C),
    /// The other end broke the protocol of frames.
    Protocol(FlowError),
    /// The connection broke, or the other end broke TLS.
    Tls(TlsError),
}
