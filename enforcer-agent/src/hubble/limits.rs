//! How much clients may take. Connections, and calls on each, are bounded where the doors are.

use std::time::Duration;

/// Bytes of one request.
pub(super) const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// Streams of flows and of peers at once, of all callers together.
pub(super) const STREAMS_MAX: usize = 256;
/// Calls at once that look through everything that is held.
pub(super) const LOOKS_MAX: usize = 2;
/// Answers that wait for a client. One that reads no further stops its own reading here, and is told what it missed.
pub(super) const AHEAD: usize = 64;
/// How often namespaces are looked for, so that they outlive the records that named them.
pub(super) const NAMESPACES_POLL: Duration = Duration::from_secs(30);
