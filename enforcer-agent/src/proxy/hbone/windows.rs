//! How much a peer may send before we have taken it. A window is a promise, so it is paid for whole.

use std::sync::Arc;

use super::FRAME_MAX;
use super::purse::Hold;
use crate::proxy::tls::Purse;

/// Windows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Windows {
    /// Of one stream, in bytes.
    pub(super) stream: u32,
    /// Of all streams together: four times as much, so that one that is not read does not stop the others.
    pub(super) connection: u32,
}

impl Windows {
    const fn of_stream(stream: u32) -> Self {
        Self { stream, connection: 4 * stream }
    }

    /// As much as pays for itself: on loopback nothing from a quarter of this to four times as much was faster, and at
    /// a round trip of a millisecond it is 8 Gbit/s for a stream. A frame of the largest size fits.
    const WIDE: Self = Self::of_stream(1024 * 1024);
    /// What a tenant gets whose buffers are nearly full.
    const NARROW: Self = Self::of_stream(64 * 1024);

    /// A frame is held until it is whole, before it is counted against a window.
    const fn bytes(self) -> usize {
        self.connection as usize + FRAME_MAX as usize
    }

    /// The widest that the tenant can pay for.
    pub(super) fn paid_by(purse: &Arc<dyn Purse>) -> Option<(Self, Hold)> {
        [Self::WIDE, Self::NARROW]
            .into_iter()
            .find_map(|windows| Hold::take(purse, windows.bytes()).map(|hold| (windows, hold)))
    }
}
