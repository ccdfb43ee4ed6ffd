//! A byte stream whose frames are counted as they come in. The HTTP/2 library answers PING, SETTINGS and RST_STREAM
//! without a bound on how many: each is cheap, and a peer can send millions.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use enforcer_core::bucket::{Bucket, Rate};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::vitals::{Flood, Vitals};

/// Length of the head of a frame, in bytes (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// What a client sends before its first frame (RFC 9113, section 3.4), in bytes.
const PREFACE_BYTES: usize = 24;

/// Which end of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

/// A byte stream whose frames are counted.
pub(super) struct Watched<IO> {
    io: IO,
    vitals: Arc<Vitals>,
    frames: Frames,
    allowance: Allowance,
}

impl<IO> Watched<IO> {
    pub(super) fn new(io: IO, role: Role, vitals: Arc<Vitals>) -> Self {
        let skip = match role {
            Role::Client => 0,
            Role::Server => PREFACE_BYTES,
        };
        let frames = Frames { skip, head: [0; HEAD_BYTES], filled: 0 };
        Self { io, vitals, frames, allowance: Allowance::new() }
    }
}

/// Finds the heads of frames in bytes that come in any pieces.
struct Frames {
    skip: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
}

impl Frames {
    /// The kind of the next frame whose head ends in these bytes, and what follows the head.
    fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        let bytes = &bytes[skipped..];
        let taken = (HEAD_BYTES - self.filled).min(bytes.len());
        self.head[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        if self.filled < HEAD_BYTES {
            return None;
        }
        self.filled = 0;
        let [high, middle, low, kind, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some((kind, &bytes[taken..]))
    }
}

/// What a peer may send beside data and requests: several times what peers of the field were seen to.
struct Allowance {
    start: Instant,
    buckets: [(Flood, Rate, Bucket); 6],
}

impl Allowance {
    fn new() -> Self {
        let bucket = |flood, per_second, burst| (flood, Rate::new(per_second, burst), Bucket::default());
        let buckets = [
            bucket(Flood::Priority, 100, 1000),
            bucket(Flood::Reset, 200, 1000),
            bucket(Flood::Settings, 5, 50),
            bucket(Flood::Ping, 50, 200),
            // One for each piece that the peer's application takes, at worst.
            bucket(Flood::WindowUpdate, 50_000, 50_000),
            bucket(Flood::Other, 10, 100),
        ];
        Self { start: Instant::now(), buckets }
    }

    fn take(&mut self, kind: u8) -> Result<(), Flood> {
        let [priority, reset, settings, ping, window_update, other] = &mut self.buckets;
        // RFC 9113, section 6.
        let (flood, rate, bucket) = match kind {
            0 | 1 | 5 | 9 => return Ok(()),
            2 => priority,
            3 => reset,
            4 => settings,
            6 => ping,
            8 => window_update,
            _ => other,
        };
        if bucket.take(self.start.elapsed(), *rate) { Ok(()) } else { Err(*flood) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.vitals.flood().is_some() {
            // Whoever waits for the accusation ends the connection.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let mut bytes = &buf.filled()[before..];
        this.vitals.receive(bytes.len());
        while let Some((kind, rest)) = this.frames.next(bytes) {
            if let Err(flood) = this.allowance.take(kind) {
                this.vitals.accuse(flood);
                break;
            }
            bytes = rest;
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}
