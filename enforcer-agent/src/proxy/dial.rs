//! A connection to the other end of a tunnel, and why there is none.

use std::fmt;
use std::net::SocketAddr;

use enforcer_common::reason;
use enforcer_core::proxy::authorize::Refusal;
use tokio::time::timeout;

use super::post::{ConnectError, Namespace, connect_out};
use super::registry::{Direction, Handshake};
use super::shared::{Shared, Tenant};
use super::tls::{self, Configs, Destination, Secured, TlsError, TlsErrorKind};

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// A drop reason.
    pub(super) reason: u16,
    /// For operators.
    pub(super) detail: String,
}

impl Failed {
    pub(super) fn new(reason: u16, detail: impl ToString) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", reason::name(self.reason), self.detail)
    }
}

impl std::error::Error for Failed {}

impl From<Failed> for Refusal {
    fn from(Failed { reason, detail }: Failed) -> Self {
        Self { reason, rule: None, detail }
    }
}

impl From<&TlsError> for Failed {
    fn from(error: &TlsError) -> Self {
        Self::new(reason_of(error), error)
    }
}

/// The drop reason of a handshake that failed.
fn reason_of(error: &TlsError) -> u16 {
    if let TlsError::Stranger { .. } = error {
        return reason::TUNNEL_IDENTITY;
    }
    match error.kind() {
        TlsErrorKind::Certificate => reason::TUNNEL_CERTIFICATE,
        TlsErrorKind::Protocol | TlsErrorKind::Timeout | TlsErrorKind::Alpn => reason::TUNNEL_PROTOCOL,
        TlsErrorKind::Io => reason::TUNNEL_UNREACHABLE,
        TlsErrorKind::Busy => reason::TUNNEL_BUDGET,
    }
}

/// From a workload's network to the listener of another's, with the certificate of the one, for a peer of the
/// tenant to whom the other belongs.
pub(super) struct Dial<'a> {
    pub(super) shared: &'a Shared,
    pub(super) tenant: &'a Tenant,
    pub(super) configs: &'a Configs,
    pub(super) namespace: &'a Namespace,
    pub(super) to: SocketAddr,
    pub(super) peer: &'a Tenant,
}

impl Dial<'_> {
    pub(super) async fn connect(&self) -> Result<Secured, Failed> {
        let Self { shared, tenant, configs, namespace, to, peer } = self;
        tenant.share.handshake().map_err(|over| Failed::new(reason::TUNNEL_BUDGET, over))?;
        let settings = &shared.settings;
        let stream = match timeout(settings.connect_timeout, connect_out(namespace, *to)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error @ ConnectError::Own { .. })) => {
                return Err(Failed::new(reason::TUNNEL_NOT_READY, format!("{to}: {error}")));
            }
            Ok(Err(error)) => return Err(Failed::new(reason::TUNNEL_UNREACHABLE, format!("{to}: {error}"))),
            Err(_) => return Err(Failed::new(reason::TUNNEL_UNREACHABLE, format!("{to}: timed out"))),
        };
        let destination = Destination { address: *to, trust_domain: &peer.domain };
        let shaken = tls::connect(stream, configs, destination, &tenant.pool);
        let outcome = match timeout(settings.handshake_timeout, shaken).await {
            Ok(outcome) => outcome.map_err(|error| Failed::from(&error)),
            Err(_) => {
                Err(Failed::new(reason::TUNNEL_PROTOCOL, format!("{to}: the TLS handshake took too long")))
            }
        };
        count(shared, tenant, Direction::Outbound, outcome.as_ref().ok());
        outcome
    }
}

/// Counts a handshake that came to an end, or did not.
pub(super) fn count(shared: &Shared, tenant: &Tenant, direction: Direction, secured: Option<&Secured>) {
    let handshake = match secured.map(Secured::facts) {
        Some(facts) if facts.resumed => Handshake::Resumed,
        Some(_) => Handshake::Full,
        None => Handshake::Failed,
    };
    shared.registry.handshake(&tenant.name, direction, handshake);
}
