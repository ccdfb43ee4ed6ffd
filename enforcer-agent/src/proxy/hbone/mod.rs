//! HBONE: flows as streams of HTTP/2 CONNECT, over whatever byte stream is handed in. It knows neither TLS, identities
//! nor policy: who answers a call decides, and hands over the socket that bytes go to.
//!
//! Only END_STREAM is a clean end. A stream that is reset, with whatever code, or a connection that is lost before it,
//! becomes a reset of the local socket, so that a truncated file never looks complete. Peers differ: ztunnel reads
//! NO_ERROR and CANCEL as the end of the data, and sends CANCEL for whatever it broke off.

pub mod client;
mod headers;
mod purse;
pub mod relay;
pub mod server;
mod vitals;
mod watched;
mod windows;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::proxy::hbone::baggage::Baggage;
use h2::{RecvStream, SendStream};

use crate::proxy::tls::Purse;
use client::Lease;
use purse::Hold;

pub use vitals::Flood;

/// Streams that a peer may have open on one connection.
pub const STREAMS_MAX: u32 = 200;
/// Streams that we open on one connection, when the peer allows as many.
pub const OWN_STREAMS_MAX: usize = 100;
/// Largest frame that is taken, in bytes.
pub const FRAME_MAX: u32 = 1024 * 1024;
/// Largest list of headers that is taken from a client, in bytes.
pub const CLIENT_HEADERS_MAX: u32 = 64 * 1024;
/// Largest list of headers that is taken from a server, in bytes.
pub const SERVER_HEADERS_MAX: u32 = 16 * 1024;
/// Bytes of one stream that wait to be written to the connection. What the path holds waits in the kernel, so this only
/// covers the time until the connection's task runs.
const SEND_BUFFER: usize = 128 * 1024;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the end of the TLS handshake to the first request.
    pub first_request: Duration,
    /// Without a stream.
    pub idle: Duration,
}

/// A stream that was accepted: 200 was sent, or received.
pub struct Carried {
    send: SendStream<Bytes>,
    recv: RecvStream,
    purse: Arc<dyn Purse>,
    peer: Baggage,
    /// What the stream costs while nothing flows.
    _base: Hold,
    /// A place on one of our own connections.
    _lease: Option<Lease>,
}

impl Carried {
    /// What the peer said, with its 200, of the workload behind it.
    #[must_use]
    pub fn peer(&self) -> &Baggage {
        &self.peer
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The peer closed it, with or without GOAWAY.
    ByPeer,
    /// We did: it was drained, idle, or a certificate ended.
    ByUs,
    /// Nothing came in time: neither a request after the handshake, nor an answer to PING.
    Silent,
    /// The peer gave up with this code.
    PeerError(h2::Reason),
    /// The peer broke the protocol; it was told so with this code.
    Protocol(h2::Reason),
    /// The peer sent too much of something.
    Flood(Flood),
    /// The tenant's buffers are full.
    Busy,
    /// The byte stream failed.
    Lost(std::io::ErrorKind),
}

impl Closed {
    /// How a connection without streams ended. Many peers leave without a word, and some while ours is on its way.
    fn unused(error: &h2::Error, is_over: bool) -> Self {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
        match error.get_io().map(std::io::Error::kind) {
            Some(BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof) if is_over => Self::ByUs,
            Some(BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof) => Self::ByPeer,
            _ => Self::from(error),
        }
    }
}

impl From<&h2::Error> for Closed {
    fn from(error: &h2::Error) -> Self {
        match (error.reason(), error.get_io()) {
            (_, Some(error)) => Self::Lost(error.kind()),
            (Some(reason), None) if error.is_remote() => Self::PeerError(reason),
            (Some(h2::Reason::ENHANCE_YOUR_CALM), None) => Self::Flood(Flood::Frames),
            (Some(reason), None) => Self::Protocol(reason),
            (None, None) => Self::Protocol(h2::Reason::INTERNAL_ERROR),
        }
    }
}
