//! Why two ends do not come together: for the record, and for the operator.

use std::io;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls::AlertDescription;

use super::alert::alert_name;
use crate::door::identity::Unverified;

/// Why a handshake failed, or a connection broke.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Their certificate is refused here.
    #[error("the peer's certificate is refused: {0}")]
    Unverified(Unverified),
    /// Somebody whom we trust, and not the one who belongs at that address.
    #[error("the peer is {peer}, and {expected} is expected")]
    Stranger {
        /// Whom its certificate names.
        peer: SpiffeId,
        /// Whose certificate it should be.
        expected: TrustDomain,
    },
    /// They showed none.
    #[error("the peer showed no certificate")]
    NoCertificate,
    /// They refused us, or gave up.
    #[error("the peer sent the alert {}", alert_name(*.0))]
    Alert(AlertDescription),
    /// No protocol in common inside TLS.
    #[error("no application protocol in common: the peer {0}")]
    Alpn(&'static str),
    /// They do not speak TLS as we do.
    #[error("the peer broke TLS: {0}")]
    Protocol(String),
    /// The connection ended in the middle, or without a close_notify.
    #[error("the peer closed the connection before its end")]
    Truncated,
    /// The socket.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The caller's patience ended.
    #[error("the handshake took longer than {0} ms")]
    Timeout(u128),
    /// The tenant has no more bytes to buffer with.
    #[error("the tenant's buffers are all in use")]
    Busy,
}

/// For counters and records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsErrorKind {
    /// A certificate: theirs here, or ours there.
    Certificate,
    /// Not TLS as it should be.
    Protocol,
    /// Too slow.
    Timeout,
    /// The network.
    Io,
    /// No protocol in common.
    Alpn,
    /// Out of budget.
    Busy,
}

impl TlsError {
    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> TlsErrorKind {
        match self {
            Self::Unverified(_) | Self::Stranger { .. } | Self::NoCertificate => TlsErrorKind::Certificate,
            Self::Alert(alert) => match alert {
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::CertificateRequired => TlsErrorKind::Certificate,
                AlertDescription::NoApplicationProtocol => TlsErrorKind::Alpn,
                _ => TlsErrorKind::Protocol,
            },
            Self::Protocol(_) => TlsErrorKind::Protocol,
            Self::Alpn(_) => TlsErrorKind::Alpn,
            Self::Truncated | Self::Io(_) => TlsErrorKind::Io,
            Self::Timeout(_) => TlsErrorKind::Timeout,
            Self::Busy => TlsErrorKind::Busy,
        }
    }
}
