//! A byte stream whose frames are looked at as they come in. The HTTP/2 library answers PING, SETTINGS and RST_STREAM
//! without a bound on how many: each is cheap, and a peer can send millions. It also misses what RFC 9113 wants seen.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use enforcer_core::bucket::{Bucket, Rate};
use h2::Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::vitals::{Charge, Flood, Vitals};

/// Length of the head of a frame, in bytes (RFC 9113, section 4.1).
const HEAD_BYTES: usize = 9;
/// What a client sends before its first frame (RFC 9113, section 3.4), in bytes.
const PREFACE_BYTES: usize = 24;

/// Kinds of frames (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// The flag of SETTINGS and PING that answer.
const ACK: u8 = 1;

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
    is_greeted: bool,
}

impl<IO> Watched<IO> {
    pub(super) fn new(io: IO, role: Role, vitals: Arc<Vitals>) -> Self {
        let skip = match role {
            Role::Client => 0,
            Role::Server => PREFACE_BYTES,
        };
        let frames = Frames { skip, head: [0; HEAD_BYTES], filled: 0 };
        Self { io, vitals, frames, allowance: Allowance::new(), is_greeted: false }
    }

    fn judge(&mut self, mut bytes: &[u8]) -> Result<(), Charge> {
        while let Some((head, rest)) = self.frames.next(bytes) {
            // Section 3.4: the library takes any frame as the first.
            if !self.is_greeted {
                if head.kind != SETTINGS {
                    return Err(Charge::Protocol(Reason::PROTOCOL_ERROR));
                }
                self.is_greeted = true;
                self.vitals.greet();
            }
            if !head.has_length() {
                return Err(Charge::Protocol(Reason::FRAME_SIZE_ERROR));
            }
            self.allowance.take(head.kind).map_err(Charge::Flood)?;
            bytes = rest;
        }
        Ok(())
    }
}

/// Finds the heads of frames in bytes that come in any pieces.
struct Frames {
    skip: usize,
    head: [u8; HEAD_BYTES],
    filled: usize,
}

/// The head of a frame (RFC 9113, section 4.1).
#[derive(Clone, Copy)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
}

impl Head {
    /// Section 4.2: a length that its kind does not have. The library calls it PROTOCOL_ERROR.
    const fn has_length(self) -> bool {
        match self.kind {
            PRIORITY => self.length == 5,
            RST_STREAM | WINDOW_UPDATE => self.length == 4,
            SETTINGS if self.flags & ACK != 0 => self.length == 0,
            SETTINGS => self.length.is_multiple_of(6),
            PING => self.length == 8,
            _ => true,
        }
    }
}

impl Frames {
    /// The next frame whose head ends in these bytes, and what follows the head.
    fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<(Head, &'a [u8])> {
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
        let [high, middle, low, kind, flags, ..] = self.head;
        self.skip = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        Some((Head { length: self.skip, kind, flags }, &bytes[taken..]))
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
        let (flood, rate, bucket) = match kind {
            DATA | HEADERS | PUSH_PROMISE | CONTINUATION => return Ok(()),
            PRIORITY => priority,
            RST_STREAM => reset,
            SETTINGS => settings,
            PING => ping,
            WINDOW_UPDATE => window_update,
            _ => other,
        };
        if bucket.take(self.start.elapsed(), *rate) { Ok(()) } else { Err(*flood) }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.vitals.charge().is_some() {
            // Whoever waits for the charge ends the connection.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        this.vitals.receive(buf.filled().len() - before);
        if let Err(charge) = this.judge(&buf.filled()[before..]) {
            buf.set_filled(before);
            this.vitals.accuse(charge);
            return Poll::Pending;
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
