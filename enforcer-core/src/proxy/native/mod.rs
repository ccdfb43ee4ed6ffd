//! Our own hop's words: frames over the byte stream of a TLS connection, and the header that opens a flow. What one
//! frame may follow another is the connection's business.
//!
//! A frame is four bytes, big-endian: its kind in the first, the bytes of its payload in the other three. Frames do
//! not depend on where TLS records end.

mod frame;
mod open;
mod refuse;

pub use frame::{DATA_MAX, FrameHeader, HEADER_BYTES, Kind};
pub use open::{OPEN_BYTES, Open};
pub use refuse::RefuseCode;

/// What ALPN calls this hop.
pub const ALPN: &[u8] = b"enforcer/1";

/// Why bytes are no frame of this hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NativeError {
    /// The first byte of a frame.
    #[error("there is no frame of kind {0}")]
    Kind(u8),
    /// Each kind says how long its payload may be.
    #[error("a frame of kind {kind:?} does not have {len} bytes")]
    Length {
        /// Of the frame.
        kind: Kind,
        /// Bytes of its payload.
        len: u32,
    },
    /// The first byte of an OPEN.
    #[error("version {0} of OPEN is not spoken here")]
    Version(u8),
    /// The second byte of an OPEN.
    #[error("OPEN has flags {0:#04x}, and none are known")]
    Flags(u8),
    /// A flow has a port at both ends.
    #[error("OPEN names port 0")]
    Port,
    /// A flow runs between two hosts' addresses.
    #[error("OPEN names an address that is no single host's")]
    Address,
    /// A flow runs within one family.
    #[error("OPEN names one IPv4 and one IPv6 address")]
    Family,
    /// See [`super::trace::TraceId`].
    #[error("OPEN has a trace ID of zeros")]
    Trace,
    /// The byte of a REFUSE.
    #[error("there is no refusal of code {0}")]
    Code(u8),
}
