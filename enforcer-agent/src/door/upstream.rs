//! Who vouches for this node: an authority of its own, or another Enforcer. The keeper asks, and does not know
//! which it is.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::spiffe_id::SpiffeId;
pub use enforcer_core::identity::target::Target;
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

/// What a caller is told that may not have what it asks for.
pub const PERMISSION_DENIED: &str = "permission denied";
/// What a caller is told that was taken what it asks for.
pub const REVOKED: &str = "revoked";

/// Why nothing was issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// It may work later: the authority is away, slow, or cannot read its key just now.
    #[error("the authority cannot be reached: {0}")]
    Away(String),
    /// It will not work until somebody changes something.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// The tenant, workload or ID is revoked.
    #[error("revoked: {0}")]
    Revoked(String),
    /// The request itself is wrong: no CSR, a key that is not P-256, a signature that does not verify.
    #[error("the request is wrong: {0}")]
    Request(String),
}

/// An authority.
#[tonic::async_trait]
pub trait Upstream: Debug + Send + Sync {
    /// `self-signed`, `disk`, `pkcs11`, `grpc`.
    fn kind(&self) -> &'static str;

    /// What a person should know of it: a root that cannot be read, an authority that is away.
    fn trouble(&self) -> Option<String>;

    /// A node CA for `node` below the tenant CA of `domain`, for the key of a PKCS#10 request. The chain begins
    /// with the node CA; the tenant CA as its upstream signed it follows.
    async fn node_ca(
        &self,
        node: &str,
        domain: &TrustDomain,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError>;

    /// The SVID of the node itself in the fleet's trust domain, `spiffe://<fleet>/node/<name>`, with its DNS
    /// names and addresses as further names. The chain begins with the leaf.
    async fn node_svid(&self, node: &str, csr: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamError>;

    /// A JWT-SVID for a workload of `node`, signed by its trust domain's key.
    async fn jwt_svid(
        &self,
        node: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError>;

    /// Bundles and revocations, now and whenever they change.
    fn trust(&self) -> watch::Receiver<Arc<Trust>>;

    /// Takes identities away, durably. A node whose authority is elsewhere does so for itself alone.
    async fn revoke(&self, target: &Target) -> Result<(), UpstreamError>;

    /// Takes a revocation back.
    async fn restore(&self, target: &Target) -> Result<(), UpstreamError>;

    /// Publishes a new authority for a trust domain, which takes over once everybody can know it.
    async fn rotate(&self, domain: &TrustDomain) -> Result<(), UpstreamError>;
}
