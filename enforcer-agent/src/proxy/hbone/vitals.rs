//! Whether the peer on a connection is alive, and whether it behaves.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use h2::{Ping, PingPong, Reason};
use tokio::sync::SetOnce;
use tokio::time::{sleep, timeout};

use super::Closed;

/// How long nothing comes before the peer is asked whether it is there.
pub(super) const PING_AFTER: Duration = Duration::from_secs(10);
/// How long it may take to say so.
pub(super) const PONG_WITHIN: Duration = Duration::from_secs(20);

/// What a peer sent too much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// PING.
    Ping,
    /// SETTINGS.
    Settings,
    /// RST_STREAM.
    Reset,
    /// PRIORITY.
    Priority,
    /// WINDOW_UPDATE.
    WindowUpdate,
    /// GOAWAY, and frames of unknown kinds.
    Other,
    /// Whatever the HTTP/2 library bounds itself: empty and tiny DATA, resets of requests that nobody has seen yet,
    /// CONTINUATION.
    Frames,
}

/// Why a peer's bytes are read no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charge {
    /// It sends too much of something.
    Flood(Flood),
    /// It breaks the protocol, in a way that has this code.
    Protocol(Reason),
}

impl Charge {
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Flood(_) => Reason::ENHANCE_YOUR_CALM,
            Self::Protocol(reason) => reason,
        }
    }
}

impl From<Charge> for Closed {
    fn from(charge: Charge) -> Self {
        match charge {
            Charge::Flood(flood) => Self::Flood(flood),
            Charge::Protocol(reason) => Self::Protocol(reason),
        }
    }
}

/// What the task of a connection learns from the bytes that pass.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    received: AtomicU64,
    greeted: SetOnce<()>,
    charge: SetOnce<Charge>,
}

impl Vitals {
    pub(super) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn greet(&self) {
        // Once is enough.
        let _ = self.greeted.set(());
    }

    /// Once the peer's first SETTINGS are here, or nothing more comes.
    pub(super) async fn greeted(&self) {
        self.greeted.wait().await;
    }

    pub(super) fn accuse(&self, charge: Charge) {
        // The first is reason enough.
        let _ = self.charge.set(charge);
    }

    pub(super) fn charge(&self) -> Option<Charge> {
        self.charge.get().copied()
    }

    /// Once there is reason to read no further.
    pub(super) async fn charged(&self) -> Charge {
        *self.charge.wait().await
    }

    /// Once the peer has been silent too long.
    pub(super) async fn silent(&self, mut pings: PingPong) {
        let mut heard = 0;
        loop {
            sleep(PING_AFTER).await;
            let now = self.received.load(Ordering::Relaxed);
            if now != std::mem::replace(&mut heard, now) {
                continue;
            }
            let pong = timeout(PONG_WITHIN, pings.ping(Ping::opaque())).await;
            // Anything is a sign of life; a connection that cannot be written to sends no PING.
            if !matches!(pong, Ok(Ok(_))) && self.received.load(Ordering::Relaxed) == heard {
                return;
            }
        }
    }
}
