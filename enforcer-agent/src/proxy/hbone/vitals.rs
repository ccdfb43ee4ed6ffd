//! Whether the peer on a connection is alive, and whether it behaves.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

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

/// What the task of a connection learns from the bytes that pass.
#[derive(Debug, Default)]
pub(super) struct Vitals {
    received: AtomicU64,
    flood: OnceLock<Flood>,
    flooded: Notify,
}

impl Vitals {
    pub(super) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn accuse(&self, flood: Flood) {
        if self.flood.set(flood).is_ok() {
            self.flooded.notify_one();
        }
    }

    pub(super) fn flood(&self) -> Option<Flood> {
        self.flood.get().copied()
    }

    /// Once the peer has sent too much of something.
    pub(super) async fn flooded(&self) -> Flood {
        loop {
            if let Some(flood) = self.flood() {
                return flood;
            }
            self.flooded.notified().await;
        }
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
