//! How much the doors take. Every bound of the admin room stands here.

use std::time::Duration;

/// Bytes of one message of the policy service: a push or an apply.
pub const POLICY_MESSAGE_MAX_BYTES: usize = enforcer_core::policy::parse::limits::MAX_PUSH_BYTES;
/// Bytes of one message of every other service.
pub const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// Connections of local callers at once.
pub const LOCAL_CONNECTIONS_MAX: usize = 64;
/// Handshakes with callers from the network at once.
pub const HANDSHAKES_MAX: usize = 64;
/// Connections of known callers from the network at once.
pub const NETWORK_CONNECTIONS_MAX: usize = 64;
/// Connections of callers that are not allowed, which are told so, at once.
pub const REFUSED_CONNECTIONS_MAX: usize = 8;
/// Calls on one connection at once.
pub const CALLS_PER_CONNECTION_MAX: u32 = 32;
/// Bytes of headers of one call.
pub const HEADERS_MAX_BYTES: u32 = 16 << 10;
/// Bytes that may be on the way to one call, and to one connection.
pub const CALL_WINDOW_BYTES: u32 = 1 << 20;
/// See [`CALL_WINDOW_BYTES`].
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// How long a caller may take to begin the protocol, TLS included.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long one call may take until it answers; streams go on after that.
pub const CALL_MAX: Duration = Duration::from_secs(120);
/// How often a silent connection is asked whether it lives, and how long it may think about it.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// See [`KEEPALIVE_INTERVAL`].
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Nonces that one push stream may use; then it has to be opened again.
pub const NONCES_MAX: usize = 65_536;
/// Bytes of one nonce.
pub const NONCE_MAX_BYTES: usize = 128;
/// Bytes of problems in a status: they travel in headers, which clients bound at 16 KiB, in base 64.
pub const STATUS_DETAILS_MAX_BYTES: usize = 6 << 10;
/// How often the listener's certificate files are looked at.
pub const CERTIFICATE_POLL: Duration = Duration::from_secs(30);
/// Connections between a door and the server.
pub const HANDED_OVER_MAX: usize = 16;
