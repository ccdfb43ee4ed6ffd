//! Reads and writes on a socket without waiting, as few as can be: a read that came back short is the last until
//! the socket is ready again, and so is a write.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::task::{Context, Poll};

use nix::sys::uio::{readv, writev};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Reads into several places. Ready with 0 at the end of the stream.
pub(in crate::proxy) fn poll_read(
    stream: &TcpStream,
    into: &mut [IoSliceMut<'_>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let room: usize = into.iter().map(|slice| slice.len()).sum();
    loop {
        std::task::ready!(stream.poll_read_ready(cx))?;
        let mut read = None;
        let outcome = stream.try_io(Interest::READABLE, || {
            let count = retry(|| readv(stream, into))?;
            read = Some(count);
            // What the kernel had, we have: tokio would ask it once more, so it is told what the answer would be.
            if 0 < count && count < room { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (read, outcome) {
            (Some(count), _) => return Poll::Ready(Ok(count)),
            (None, Err(error)) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
            _ => {}
        }
    }
}

/// Writes from several places.
pub(in crate::proxy) fn poll_write(
    stream: &TcpStream,
    from: &[IoSlice<'_>],
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let there: usize = from.iter().map(|slice| slice.len()).sum();
    loop {
        std::task::ready!(stream.poll_write_ready(cx))?;
        let mut written = None;
        let outcome = stream.try_io(Interest::WRITABLE, || {
            let count = retry(|| writev(stream, from))?;
            written = Some(count);
            if 0 < count && count < there { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (written, outcome) {
            (Some(count), _) => return Poll::Ready(Ok(count)),
            (None, Err(error)) if error.kind() != ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
            _ => {}
        }
    }
}

fn retry(mut call: impl FnMut() -> nix::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(nix::Error::EINTR) => {}
            other => return other.map_err(io::Error::from),
        }
    }
}
