//! A secured connection as a stream of bytes, for HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::error::TlsError;
use super::pool::{Buffer, Purpose, Size};
use super::record::{HEADER, PAYLOAD_MAX, SLOT};
use super::secured::{Facts, Secured};

/// Plaintext in, plaintext out.
#[derive(Debug)]
pub struct SecuredStream {
    secured: Box<Secured>,
    retry: Option<Pin<Box<Sleep>>>,
    is_shut: bool,
}

impl SecuredStream {
    pub(super) fn new(secured: Secured) -> Self {
        Self { secured: Box::new(secured), retry: None, is_shut: false }
    }

    /// What the handshake found.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        self.secured.facts()
    }

    #[cfg(test)]
    pub(super) fn into_inner(self) -> Secured {
        *self.secured
    }
}

impl AsyncRead for SecuredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let secured = &mut self.secured;
        match ready!(secured.poll_plain(cx)) {
            Ok(true) => {
                let plain = secured.inbox.plain();
                let count = plain.len().min(into.remaining());
                into.put_slice(&plain[..count]);
                secured.inbox.consume(count);
                secured.inbox.release();
                Poll::Ready(Ok(()))
            }
            Ok(false) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(io_error(error))),
        }
    }
}

impl AsyncWrite for SecuredStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let Self { secured, retry, .. } = &mut *self;
        if !secured.takes_batch() {
            ready!(secured.poll_flush(cx))?;
        }
        let size = [Size::Small, Size::Medium, Size::Large]
            .into_iter()
            .find(|size| length <= size.records() * PAYLOAD_MAX)
            .unwrap_or(Size::Large);
        let mut buffer = ready!(secured.pool().poll_take(size, Purpose::Send, retry, cx));
        let count = gather(&mut buffer, slices);
        secured.queue_batch(buffer, count).map_err(io_error)?;
        // As much as goes; the rest with the next write or flush.
        let _: Poll<()> = secured.poll_flush(cx)?;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.secured.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        use std::os::fd::AsRawFd as _;

        if !self.is_shut {
            self.is_shut = true;
            self.secured.queue_alert(AlertDescription::CloseNotify);
        }
        ready!(self.secured.poll_flush(cx))?;
        match nix::sys::socket::shutdown(self.secured.socket().as_raw_fd(), nix::sys::socket::Shutdown::Write)
        {
            // The peer is gone: nothing is left to be ended.
            Ok(()) | Err(nix::Error::ENOTCONN) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

/// Copies into the payload slots, as much as fits.
fn gather(buffer: &mut Buffer, slices: &[IoSlice<'_>]) -> usize {
    let mut slots = buffer.chunks_exact_mut(SLOT).map(|slot| &mut slot[HEADER..HEADER + PAYLOAD_MAX]);
    let (mut room, mut count): (&mut [u8], _) = (&mut [], 0);
    for slice in slices {
        let mut rest: &[u8] = slice;
        while !rest.is_empty() {
            if room.is_empty() {
                let Some(slot) = slots.next() else { return count };
                room = slot;
            }
            let length = rest.len().min(room.len());
            let (here, behind) = room.split_at_mut(length);
            here.copy_from_slice(&rest[..length]);
            (room, rest, count) = (behind, &rest[length..], count + length);
        }
    }
    count
}

fn io_error(error: TlsError) -> io::Error {
    match error {
        TlsError::Io(error) => error,
        TlsError::Truncated => io::Error::new(io::ErrorKind::UnexpectedEof, TlsError::Truncated),
        other => io::Error::new(io::ErrorKind::InvalidData, other),
    }
}
