//! A connection of the workload socket: bytes, and who sends them. Whoever does not begin in time, is of no use
//! for long, or is refused anyway, is cut off.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tonic::transport::server::Connected;

use super::budget::Place;
use super::caller::{Caller, Reception};
use super::limits::{PREFACE_MAX, REFUSED_CONNECTION_MAX};
use crate::door::authority::Readable;

/// Bytes of the HTTP/2 connection preface (RFC 9113 section 3.4): before them nothing was asked.
const PREFACE_BYTES: usize = 24;
/// Bytes that are read at once.
const READ_BYTES: usize = 4 << 10;

/// What a connection counts as.
#[derive(Debug)]
pub(super) enum Counted {
    /// One of its workload's.
    Workload(#[expect(dead_code, reason = "held, not read")] Place),
    /// One of those that are told no.
    Refused(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    caller: Arc<Caller>,
    /// Bytes of the preface that are still to come.
    missing: usize,
    timer: Pin<Box<Sleep>>,
    idle: Duration,
    readable: Readable,
    /// Read, and not yet taken.
    passed: Vec<u8>,
    _counted: Counted,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, caller: Caller, idle: Duration, counted: Counted) -> Self {
        let timer = Box::pin(sleep(PREFACE_MAX));
        Self {
            stream,
            caller: Arc::new(caller),
            missing: PREFACE_BYTES,
            timer,
            idle,
            readable: Readable::default(),
            passed: Vec::new(),
            _counted: counted,
        }
    }

    /// Fails once the connection has outlived its welcome.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.timer.as_mut().poll(context).is_ready() {
            if self.missing > 0 {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the caller did not begin in time"));
            }
            if self.caller.reception != Reception::Known || self.caller.is_idle() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the connection is of no use"));
            }
            self.rest(self.idle);
        }
        Ok(())
    }

    fn heard(&mut self, bytes: usize) {
        if self.missing > 0 {
            self.missing = self.missing.saturating_sub(bytes);
            if self.missing == 0 {
                let is_known = self.caller.reception == Reception::Known;
                self.rest(if is_known { self.idle } else { REFUSED_CONNECTION_MAX });
            }
        }
    }

    fn rest(&mut self, time: Duration) {
        self.timer.as_mut().reset(Instant::now() + time);
    }
}

impl Connected for Connection {
    type ConnectInfo = Arc<Caller>;

    fn connect_info(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        while self.passed.is_empty() {
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let mut read = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.heard(read.filled().len());
            let Self { readable, passed, .. } = &mut *self;
            readable.pass(read.filled(), passed);
        }
        let now = self.passed.len().min(buffer.remaining());
        buffer.put_slice(&self.passed[..now]);
        self.passed.drain(..now);
        if self.passed.is_empty() {
            // Most connections are quiet most of the time.
            self.passed = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
