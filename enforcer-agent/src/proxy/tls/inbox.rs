//! What was received and not yet consumed: the plaintext of the record opened last, and sealed records behind it. An
//! empty inbox holds no buffer.

use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::pool::{Appetite, Buffer, Pool, Purpose, Size};
use super::record::{HEADER, SLOT};
use super::socket;

#[derive(Debug)]
pub(in crate::proxy) struct Inbox {
    buffer: Option<Buffer>,
    /// Plaintext of the record opened last, not consumed yet.
    pub(super) opened: Range<usize>,
    /// Sealed bytes, beginning with a record's header.
    pub(super) sealed: Range<usize>,
    appetite: Appetite,
}

impl Inbox {
    /// With sealed bytes that were read already, from the front of the buffer.
    pub(super) fn new(buffer: Buffer, sealed: Range<usize>) -> Self {
        let mut inbox = Self { buffer: Some(buffer), opened: 0..0, sealed, appetite: Appetite::new() };
        inbox.release();
        inbox
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().unwrap_or_default()
    }

    pub(super) fn sealed_bytes(&self) -> &[u8] {
        self.bytes().get(self.sealed.clone()).unwrap_or_default()
    }

    /// Plaintext that waits.
    pub(in crate::proxy) fn plain(&self) -> &[u8] {
        self.bytes().get(self.opened.clone()).unwrap_or_default()
    }

    /// Where it lies.
    pub(in crate::proxy) fn plain_range(&self) -> Range<usize> {
        self.opened.clone()
    }

    /// What lies somewhere.
    pub(in crate::proxy) fn at(&self, range: Range<usize>) -> &[u8] {
        self.bytes().get(range).unwrap_or_default()
    }

    /// Takes plaintext that was used.
    pub(in crate::proxy) fn consume(&mut self, count: usize) {
        self.opened.start = self.opened.end.min(self.opened.start + count);
    }

    /// Gives the buffer back when nothing is in it.
    pub(in crate::proxy) fn release(&mut self) {
        if self.opened.is_empty() && self.sealed.is_empty() {
            self.buffer = None;
        }
    }

    /// Reads sealed bytes behind those that are there. Everything opened must have been consumed, and no whole
    /// record may lie here. Ready with 0 at the end of the stream.
    pub(super) fn poll_fill(
        &mut self,
        stream: &TcpStream,
        pool: &Arc<Pool>,
        retry: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if stream.poll_read_ready(cx)?.is_pending() {
            self.shrink(pool);
            return Poll::Pending;
        }
        ready!(self.make_room(pool, retry, cx));
        let end = self.sealed.end;
        let room = &mut self.bytes_mut()[end..];
        let space = room.len();
        match socket::poll_read(stream, &mut [IoSliceMut::new(room)], cx) {
            Poll::Ready(Ok(count)) => {
                self.sealed.end += count;
                self.appetite.learn(count, space);
                Poll::Ready(Ok(count))
            }
            other => {
                self.shrink(pool);
                other
            }
        }
    }

    /// While nothing comes: an unfinished record waits in the smallest buffer, and nothing in none.
    fn shrink(&mut self, pool: &Arc<Pool>) {
        self.release();
        let is_large = self.buffer.as_ref().is_some_and(|buffer| buffer.size() > Size::Small);
        if is_large
            && self.sealed.len() <= SLOT
            && let Some(small) = pool.take(Size::Small, Purpose::Receive)
        {
            self.move_to(small);
        }
    }

    /// Makes room for at least the rest of the record that has begun, in a buffer of the size that is due.
    fn make_room(
        &mut self,
        pool: &Arc<Pool>,
        retry: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let size = self.appetite.size();
        let Some(buffer) = &mut self.buffer else {
            self.buffer = Some(ready!(pool.poll_take(size, Purpose::Receive, retry, cx)));
            (self.opened, self.sealed) = (0..0, 0..0);
            return Poll::Ready(());
        };
        if self.sealed.is_empty() {
            (self.opened, self.sealed) = (0..0, 0..0);
        }
        if buffer.size() < size
            && let Some(larger) = pool.take(size, Purpose::Receive)
        {
            self.move_to(larger);
        } else if self.sealed.start > 0 {
            buffer.copy_within(self.sealed.clone(), 0);
            (self.opened, self.sealed) = (0..0, 0..self.sealed.len());
        }
        Poll::Ready(())
    }

    fn move_to(&mut self, mut buffer: Buffer) {
        let length = self.sealed.len();
        buffer[..length].copy_from_slice(self.sealed_bytes());
        (self.buffer, self.opened, self.sealed) = (Some(buffer), 0..0, 0..length);
    }

    /// The record of this length was opened, and so much of it is plaintext.
    pub(super) fn advance(&mut self, record: usize, plain: usize) {
        let start = self.sealed.start + HEADER;
        self.opened = start..start + plain;
        self.sealed.start += record;
    }
}
