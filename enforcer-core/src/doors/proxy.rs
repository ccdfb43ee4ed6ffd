//! The doors of the tunnel: what the other end of a connection sends.

use crate::proxy::hbone::authority::{AUTHORITY_MAX_BYTES, Authority};
use crate::proxy::hbone::baggage::Baggage;
use crate::proxy::hbone::forwarded::Forwarded;
use crate::proxy::hbone::traceparent::Traceparent;

/// A header of an HBONE request, whichever it is. What is understood of it is written, and read again, unchanged.
pub fn hbone_headers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(authority) = text.parse::<Authority>() {
        assert!(text.len() <= AUTHORITY_MAX_BYTES);
        assert_eq!(authority.to_string().parse().as_ref(), Ok(&authority));
        let of_address = authority.address().and_then(Authority::of);
        assert!(of_address.is_none_or(|of_address| of_address == authority));
    }
    if let Ok(forwarded) = text.parse::<Forwarded>() {
        assert_eq!(forwarded.to_string().parse().as_ref(), Ok(&forwarded));
    }
    if let Ok(baggage) = text.parse::<Baggage>() {
        assert_eq!(baggage.to_string().parse().as_ref(), Ok(&baggage));
        assert!(!baggage.to_string().contains(char::is_control));
    }
    if let Ok(trace) = text.parse::<Traceparent>() {
        assert_eq!(trace.to_string().parse().as_ref(), Ok(&trace));
    }
}
