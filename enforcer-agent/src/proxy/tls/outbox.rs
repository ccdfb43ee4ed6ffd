//! What was sealed and not yet sent, in the order of its sequence numbers: one batch of data, and small records
//! before and behind it.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::pool::Buffer;
use super::socket;

#[derive(Debug, Default)]
pub(in crate::proxy) struct Outbox {
    before: Vec<u8>,
    batch: Option<(Buffer, Range<usize>)>,
    behind: Vec<u8>,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.batch.is_none() && self.behind.is_empty()
    }

    /// Bytes of small records that wait.
    pub(super) fn small_bytes(&self) -> usize {
        self.before.len() + self.behind.len()
    }

    /// Where the next small record goes.
    pub(super) fn small(&mut self) -> &mut Vec<u8> {
        if self.batch.is_some() { &mut self.behind } else { &mut self.before }
    }

    /// True when a batch would have to wait behind another.
    pub(super) fn has_batch(&self) -> bool {
        self.batch.is_some()
    }

    pub(super) fn put(&mut self, buffer: Buffer, sealed: Range<usize>) {
        debug_assert!(self.batch.is_none(), "one batch at a time");
        self.batch = Some((buffer, sealed));
    }

    /// Sends everything.
    pub(super) fn poll_flush(&mut self, stream: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let batch = self.batch.as_ref().map(|(buffer, range)| &buffer[range.clone()]).unwrap_or_default();
            let slices = [IoSlice::new(&self.before), IoSlice::new(batch), IoSlice::new(&self.behind)];
            let sent = ready!(socket::poll_write(stream, &slices, cx))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent(sent);
        }
        Poll::Ready(Ok(()))
    }

    fn sent(&mut self, mut count: usize) {
        count -= take_front(&mut self.before, count);
        if let Some((_, range)) = &mut self.batch {
            let of_batch = count.min(range.len());
            range.start += of_batch;
            count -= of_batch;
            if range.start == range.end {
                self.batch = None;
            }
        }
        take_front(&mut self.behind, count);
        if self.batch.is_none() && self.before.is_empty() {
            self.before = std::mem::take(&mut self.behind);
        }
    }
}

/// Drops bytes from the front, and the memory with the last.
fn take_front(bytes: &mut Vec<u8>, count: usize) -> usize {
    let count = count.min(bytes.len());
    if count == bytes.len() {
        *bytes = Vec::new();
    } else {
        bytes.drain(..count);
    }
    count
}
