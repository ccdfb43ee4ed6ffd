//! The authority as others see it. What it does may wait for the disk or a token, so it is done where that harms
//! nobody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::error::AuthorityError;
use super::inner::{Inner, lock, refused};
use super::revoked;
use super::settings::{AuthorityConfig, Clock, RootSource};
use crate::door::upstream::{Target, Upstream, UpstreamError};
use crate::identity::custody::Vault;

/// An authority on this node.
pub struct Local {
    pub(super) inner: Arc<Inner>,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Local").field("fleet", &self.inner.config.fleet).finish_non_exhaustive()
    }
}

impl Local {
    /// Opens the authority that a vault holds; a new one is made in an empty vault. It waits for the disk.
    ///
    /// # Errors
    /// The settings make no sense, or who is revoked cannot be read. A root or trust domain that cannot be read
    /// is closed, and the others go on.
    pub fn open(
        vault: Arc<Vault>,
        config: AuthorityConfig,
        entitlements: watch::Receiver<Arc<Entitlements>>,
        clock: Clock,
    ) -> Result<Arc<Self>, AuthorityError> {
        config.check()?;
        let revoked = revoked::load(&vault)?;
        let inner = Inner::new(vault, config, entitlements, clock, revoked);
        inner.refresh();
        Ok(Arc::new(Self { inner: Arc::new(inner) }))
    }

    /// Certificates of the root: the one that signs now is first. Who trusts these can verify every trust domain.
    #[must_use]
    pub fn roots(&self) -> Vec<CertificateDer<'static>> {
        lock(&self.inner.root).certificates((self.inner.clock)())
    }

    /// Why the root cannot be used, or not in its newest state.
    #[must_use]
    pub fn root_problem(&self) -> Option<String> {
        lock(&self.inner.root).problem().map(str::to_owned)
    }

    /// Publishes a new key of a self-signed root, which signs later.
    ///
    /// # Errors
    /// The root is elsewhere, or cannot be kept.
    pub async fn rotate_root(&self) -> Result<(), UpstreamError> {
        if self.inner.config.root != RootSource::SelfSigned {
            return Err(UpstreamError::Refused("the root is changed where it is kept".to_owned()));
        }
        self.away_from_callers(|inner| {
            let now = (inner.clock)();
            lock(&inner.root).rotate(&inner.vault, &inner.config, now).map_err(|error| refused(&error))
        })
        .await
    }

    /// Runs what may wait for the disk or a token.
    async fn away_from_callers<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, UpstreamError> + Send + 'static,
    ) -> Result<T, UpstreamError> {
        let inner = Arc::clone(&self.inner);
        match spawn_blocking(move || work(&inner)).await {
            Ok(done) => done,
            Err(error) => Err(UpstreamError::Away(format!("the authority is stopping: {error}"))),
        }
    }
}

#[tonic::async_trait]
impl Upstream for Local {
    fn kind(&self) -> &'static str {
        match self.inner.config.root {
            RootSource::SelfSigned => "self-signed",
            RootSource::Disk { .. } => "disk",
            RootSource::Pkcs11 { .. } => "pkcs11",
        }
    }

    fn trouble(&self) -> Option<String> {
        self.root_problem()
    }

    async fn node_ca(
        &self,
        node: &str,
        domain: &TrustDomain,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        let (node, domain, csr) = (node.to_owned(), domain.clone(), csr.to_owned());
        self.away_from_callers(move |inner| inner.node_ca(&node, &domain, &csr)).await
    }

    async fn node_svid(&self, node: &str, csr: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        let (node, csr) = (node.to_owned(), csr.to_owned());
        self.away_from_callers(move |inner| inner.node_svid(&node, &csr)).await
    }

    async fn jwt_svid(
        &self,
        node: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError> {
        let (node, id, audience) = (node.to_owned(), id.clone(), audience.to_owned());
        self.away_from_callers(move |inner| inner.jwt_svid(&node, &id, &audience, lifetime)).await
    }

    fn trust(&self) -> watch::Receiver<Arc<Trust>> {
        self.inner.trust.subscribe()
    }

    async fn revoke(&self, target: &Target) -> Result<(), UpstreamError> {
        let target = target.clone();
        self.away_from_callers(move |inner| inner.revoke(&target)).await
    }

    async fn restore(&self, target: &Target) -> Result<(), UpstreamError> {
        let target = target.clone();
        self.away_from_callers(move |inner| inner.restore(&target)).await
    }

    async fn rotate(&self, domain: &TrustDomain) -> Result<(), UpstreamError> {
        let domain = domain.clone();
        self.away_from_callers(move |inner| inner.rotate(&domain)).await
    }
}
