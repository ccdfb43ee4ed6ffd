//! How much workloads may take. Every bound of this room stands here: what an operator may set, then what is
//! fixed.

use std::time::Duration;

/// Bounds that an operator may set. A tenant's are its own: whoever uses them up leaves the others theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeLimits {
    /// Connections of all workloads at once, beside those that are kept free for each tenant.
    pub connections: usize,
    /// Connections that every tenant has, however many the others hold.
    pub connections_kept_for_tenant: usize,
    /// Connections of one tenant at once.
    pub connections_per_tenant: usize,
    /// Connections of one workload at once.
    pub connections_per_workload: usize,
    /// Connections of callers that are no workload's, which are told so, at once; and as many of callers that
    /// are over their limit.
    pub connections_refused: usize,
    /// Streams of one tenant at once.
    pub streams_per_tenant: usize,
    /// Streams of one workload at once.
    pub streams_per_workload: usize,
    /// Requests of one tenant, per second in the long run.
    pub requests_per_second: u32,
    /// Requests of one tenant at a stroke.
    pub requests_burst: u32,
    /// How long a caller waits for its workload's first certificate.
    pub first_certificate_wait: Duration,
    /// How long a connection may be of no use to its caller.
    pub idle: Duration,
}

impl Default for ServeLimits {
    /// For ten thousand workloads of one tenant on a node, and others beside it.
    fn default() -> Self {
        Self {
            connections: 65_536,
            connections_kept_for_tenant: 64,
            connections_per_tenant: 20_000,
            connections_per_workload: 64,
            connections_refused: 64,
            streams_per_tenant: 20_000,
            streams_per_workload: 256,
            requests_per_second: 2_000,
            requests_burst: 20_000,
            first_certificate_wait: Duration::from_secs(30),
            idle: Duration::from_secs(600),
        }
    }
}

/// How long a connection lives whose caller is refused: it may be somebody by the next time.
pub(super) const REFUSED_CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Requests per second of all callers together that are no workload's, and at a stroke.
pub(super) const STRANGERS_REQUESTS_PER_SECOND: u32 = 100;
/// See [`STRANGERS_REQUESTS_PER_SECOND`].
pub(super) const STRANGERS_REQUESTS_BURST: u32 = 500;
/// Connections between the door and the server.
pub(super) const HANDED_OVER_MAX: usize = 16;
/// Calls on one connection at once.
pub(super) const CALLS_PER_CONNECTION_MAX: u32 = 128;
/// Bytes of headers of one call.
pub(super) const HEADERS_MAX_BYTES: u32 = 16 << 10;
/// Bytes that may be on the way to one call, and to one connection.
pub(super) const CALL_WINDOW_BYTES: u32 = 64 << 10;
/// See [`CALL_WINDOW_BYTES`].
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// Bytes of a request of the Workload API: the longest holds a token.
pub(super) const MESSAGE_MAX_BYTES: usize = 64 << 10;
/// Bytes of a request for secrets: Envoy's first one lists everything that was compiled into it.
pub(super) const DISCOVERY_MESSAGE_MAX_BYTES: usize = 512 << 10;
/// How long a caller may take to begin the protocol.
pub(super) const PREFACE_MAX: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it lives, and how long it may think about it.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// See [`KEEPALIVE_INTERVAL`].
pub(super) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the authority may take for a token.
pub(super) const TOKEN_MAX: Duration = Duration::from_secs(10);
/// Audiences of one token, and bytes of one.
pub(super) const AUDIENCES_MAX: usize = 32;
/// See [`AUDIENCES_MAX`].
pub(super) const AUDIENCE_MAX_BYTES: usize = 2048;
/// Secrets that one stream may ask for.
pub(super) const SECRETS_PER_STREAM_MAX: usize = 64;
/// How often the same refusal is logged, at most; how often it happened meanwhile is said with it.
pub(super) const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(1);
/// Connections to the federation endpoint at once.
pub(super) const FEDERATION_CONNECTIONS_MAX: usize = 256;
/// How long one of them may last, and its handshake, and the headers of a request.
pub(super) const FEDERATION_CONNECTION_MAX: Duration = Duration::from_secs(60);
/// See [`FEDERATION_CONNECTION_MAX`].
pub(super) const FEDERATION_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request to the federation endpoint, and its headers in number.
pub(super) const FEDERATION_REQUEST_MAX_BYTES: usize = 16 << 10;
/// See [`FEDERATION_REQUEST_MAX_BYTES`].
pub(super) const FEDERATION_HEADERS_MAX: usize = 64;
/// How often the federation endpoint's certificate files are looked at.
pub(super) const FEDERATION_CERTIFICATE_POLL: Duration = Duration::from_secs(30);
