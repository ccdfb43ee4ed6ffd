//! Random numbers of flows. A trace ID tells flows apart and protects nothing.

use aws_lc_rs::rand;
use enforcer_core::proxy::trace::TraceId;

/// A new trace ID.
pub(super) fn trace_id() -> TraceId {
    let mut bytes: [u8; 16] = bytes();
    // All zero is no ID, and comes once in 2^128.
    bytes[15] |= u8::from(bytes == [0; 16]);
    TraceId::new(bytes).unwrap_or_else(|| unreachable!("one bit is set"))
}

/// The ID of this node's part of a trace.
pub(super) fn parent_id() -> [u8; 8] {
    bytes()
}

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The generator of the library that makes our keys fails only when it cannot be had at all, and then no handshake
    // comes so far.
    let _ = rand::fill(&mut bytes);
    bytes
}
