//! The headers of an HBONE request (Istio's HTTP/2 CONNECT over mutual TLS), parsed and written. All of them are the
//! peer's word: only the authority is acted on, and only after it was compared with the connection it came on.

pub mod authority;
pub mod baggage;
pub mod forwarded;
pub mod traceparent;

/// Name of the header with what the peer says of itself.
pub const BAGGAGE: &str = "baggage";
/// Name of the header with the address that a flow comes from (RFC 7239).
pub const FORWARDED: &str = "forwarded";
/// Name of the header with the trace (W3C Trace Context).
pub const TRACEPARENT: &str = "traceparent";
