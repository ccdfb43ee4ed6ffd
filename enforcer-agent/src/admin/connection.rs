//! An accepted connection: bytes, who sends them, and until when. A caller that does not begin in time, or
//! whose certificate has expired, is cut off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::caller::Caller;
use super::limits::HANDSHAKE_MAX;

/// Bytes of the HTTP/2 connection preface (RFC 9113 section 3.4): before them nothing was asked.
const PREFACE_BYTES: usize = 24;

/// The bytes.
#[derive(Debug)]
pub(super) enum Io {
    /// From this node.
    Local(UnixStream),
    /// From the network, decrypted.
    Remote(Box<TlsStream<TcpStream>>),
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    io: Io,
    caller: Caller,
    /// Bytes of the preface that are still to come, and how long they may take.
    patience: Option<(usize, Pin<Box<Sleep>>)>,
    /// When the caller's certificate ends.
    expiry: Option<Pin<Box<Sleep>>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// A connection that holds its place in the count of connections.
    pub(super) fn new(
        io: Io,
        caller: Caller,
        expires_in: Option<Duration>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            io,
            caller,
            patience: Some((PREFACE_BYTES, Box::pin(sleep(HANDSHAKE_MAX)))),
            expiry: expires_in.map(|left| Box::pin(sleep(left))),
            _permit: permit,
        }
    }

    /// Fails once the connection has outlived its welcome.
    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if let Some((_, patience)) = &mut self.patience
            && patience.as_mut().poll(context).is_ready()
        {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the caller did not begin in time"));
        }
        if let Some(expiry) = &mut self.expiry
            && expiry.as_mut().poll(context).is_ready()
        {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the caller's certificate expired"));
        }
        Ok(())
    }

    fn heard(&mut self, bytes: usize) {
        if let Some((missing, _)) = &mut self.patience {
            *missing = missing.saturating_sub(bytes);
            if *missing == 0 {
                self.patience = None;
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        let read = match &mut self.io {
            Io::Local(stream) => Pin::new(stream).poll_read(context, buffer),
            Io::Remote(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        ready!(read)?;
        let bytes = buffer.filled().len() - before;
        self.heard(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Local(stream) => Pin::new(stream).poll_write(context, bytes),
            Io::Remote(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Local(stream) => Pin::new(stream).poll_flush(context),
            Io::Remote(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Local(stream) => Pin::new(stream).poll_shutdown(context),
            Io::Remote(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
