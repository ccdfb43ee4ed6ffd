//! The authority itself: decides who is given what, and publishes what may be trusted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::identity::bundle::{Revocations, Trust};
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::csr;
use super::domain::{Domain, DomainError, Tools};
use super::error::{AuthorityError, RootError};
use super::revoked;
use super::root_source::RootHolder;
use super::settings::{AuthorityConfig, Clock, RootSource};
use crate::identity::custody::{CustodyError, Vault};
use crate::identity::upstream::{Target, Upstream, UpstreamError};

/// Audiences of one token.
const AUDIENCES_MAX: usize = 16;
/// Bytes of one audience.
const AUDIENCE_MAX_BYTES: usize = 1024;

/// An authority on this node.
pub struct Local {
    pub(super) inner: Arc<Inner>,
}

/// What it works with. Everything here may wait for the disk, so it runs where that harms nobody.
pub(super) struct Inner {
    vault: Arc<Vault>,
    pub(super) config: AuthorityConfig,
    pub(super) clock: Clock,
    pub(super) entitlements: watch::Receiver<Arc<Entitlements>>,
    root: Mutex<RootHolder>,
    domains: Mutex<BTreeMap<TrustDomain, Arc<Mutex<Domain>>>>,
    revoked: Mutex<Revocations>,
    trust: watch::Sender<Arc<Trust>>,
    /// Held while the trust is put together, so that an older one never replaces a newer.
    publishing: Mutex<()>,
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
        let inner = Inner {
            vault,
            config,
            clock,
            entitlements,
            root: Mutex::default(),
            domains: Mutex::default(),
            revoked: Mutex::new(revoked),
            trust: watch::Sender::new(Arc::new(Trust::default())),
            publishing: Mutex::new(()),
        };
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

impl Inner {
    /// Brings everything up to date and publishes it.
    pub(super) fn refresh(&self) {
        lock(&self.root).refresh(&self.vault, &self.config, (self.clock)());
        self.publish();
    }

    fn node_ca(
        &self,
        node: &str,
        domain: &TrustDomain,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        let entitlements = Arc::clone(&self.entitlements.borrow());
        if !entitlements.is_placed(domain, node, &self.config.own_node) {
            return Err(UpstreamError::Refused(format!(
                "the policy places no workload of {domain} on the node {node}"
            )));
        }
        self.node_is_not_revoked(node)?;
        self.domain_is_not_revoked(&entitlements, domain)?;
        let key = csr::parse(csr).map_err(|error| UpstreamError::Request(error.to_string()))?;
        let chain = self.with(domain, |room, tools| room.node_ca(tools, node, &key))?;
        info!(%domain, node, "a node CA was issued");
        Ok(chain)
    }

    fn node_svid(&self, node: &str, csr: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        self.node_is_not_revoked(node)?;
        let id = self.config.node_id(node).map_err(|error| UpstreamError::Request(error.to_string()))?;
        let key = csr::parse(csr).map_err(|error| UpstreamError::Request(error.to_string()))?;
        let further = if node == self.config.own_node { self.config.further_names() } else { Ok(Vec::new()) };
        let further = further.map_err(|error| refused(&error))?;
        let chain = self.with(&self.config.fleet, |room, tools| room.leaf(tools, &id, further, &key))?;
        info!(node, "a node's SVID was issued");
        Ok(chain)
    }

    fn jwt_svid(
        &self,
        node: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError> {
        check_audience(audience)?;
        let entitlements = Arc::clone(&self.entitlements.borrow());
        if !entitlements.may_have(id, node, &self.config.own_node) {
            return Err(UpstreamError::Refused(format!("no workload of the node {node} has the ID {id}")));
        }
        self.node_is_not_revoked(node)?;
        let domain: TrustDomain =
            id.trust_domain().parse().map_err(|rule| UpstreamError::Request(format!("{id}: {rule}")))?;
        self.domain_is_not_revoked(&entitlements, &domain)?;
        self.member_is_not_revoked(&entitlements, id, node)?;
        let longest = self.config.lifetimes.jwt;
        let lifetime = if lifetime.is_zero() { longest } else { lifetime.min(longest) };
        self.with(&domain, |room, tools| room.token(tools, id, audience, lifetime))
    }

    fn revoke(&self, target: &Target) -> Result<(), UpstreamError> {
        self.change_revocations(|revoked| match revoked::add(revoked, target) {
            Ok(new) => Ok(new),
            Err(why) => Err(UpstreamError::Request(why.to_string())),
        })?;
        info!(?target, "revoked");
        Ok(())
    }

    fn restore(&self, target: &Target) -> Result<(), UpstreamError> {
        self.change_revocations(|revoked| Ok(revoked::take_back(revoked, target)))?;
        info!(?target, "restored");
        Ok(())
    }

    /// Changes who is revoked: kept first, then in force, then published.
    fn change_revocations(
        &self,
        change: impl FnOnce(&mut Revocations) -> Result<bool, UpstreamError>,
    ) -> Result<(), UpstreamError> {
        {
            let mut revoked = lock(&self.revoked);
            let mut changed = revoked.clone();
            if !change(&mut changed)? {
                return Ok(());
            }
            revoked::save(&self.vault, &changed).map_err(|error| state_error(&error))?;
            *revoked = changed;
        }
        self.publish();
        Ok(())
    }

    fn rotate(&self, domain: &TrustDomain) -> Result<(), UpstreamError> {
        if *domain != self.config.fleet && !self.entitlements.borrow().domains.contains_key(domain) {
            return Err(UpstreamError::Refused(format!(
                "the policy has no tenant with the trust domain {domain}"
            )));
        }
        self.with(domain, Domain::rotate)?;
        info!(%domain, "a new authority is published");
        self.publish();
        Ok(())
    }

    /// Has a trust domain do something; its bundle may change by that.
    fn with<T>(
        &self,
        domain: &TrustDomain,
        act: impl FnOnce(&mut Domain, Tools<'_>) -> Result<T, DomainError>,
    ) -> Result<T, UpstreamError> {
        let done = self.act(domain, act).map_err(|error| domain_error(&error));
        let known = self.trust.borrow().bundles.get(domain).cloned();
        let entitlements = Arc::clone(&self.entitlements.borrow());
        let revoked = self.is_revoked(&entitlements, domain);
        let bundle = self.act(domain, |room, tools| room.bundle(tools, revoked)).ok();
        if bundle != known {
            self.publish();
        }
        done
    }

    fn act<T>(
        &self,
        domain: &TrustDomain,
        act: impl FnOnce(&mut Domain, Tools<'_>) -> Result<T, DomainError>,
    ) -> Result<T, DomainError> {
        let root = lock(&self.root).current().cloned();
        let tools = Tools {
            vault: &self.vault,
            config: &self.config,
            root: root.as_ref().map_err(String::as_str),
            now: (self.clock)(),
        };
        let room = self.room(domain);
        let mut room = lock(&room);
        act(&mut room, tools)
    }

    fn room(&self, domain: &TrustDomain) -> Arc<Mutex<Domain>> {
        let mut domains = lock(&self.domains);
        let room = domains
            .entry(domain.clone())
            .or_insert_with(|| Arc::new(Mutex::new(Domain::new(domain.clone()))));
        Arc::clone(room)
    }

    /// Puts together what may be trusted now: the fleet's trust domain and those of the policy's tenants. One
    /// that is closed is not among them, so nothing of it is valid.
    pub(super) fn publish(&self) {
        let _one_at_a_time = lock(&self.publishing);
        let entitlements = Arc::clone(&self.entitlements.borrow());
        let mut bundles = BTreeMap::new();
        for domain in entitlements.domains.keys().chain([&self.config.fleet]) {
            let revoked = self.is_revoked(&entitlements, domain);
            match self.act(domain, |room, tools| room.bundle(tools, revoked)) {
                Ok(bundle) => drop(bundles.insert(domain.clone(), bundle)),
                Err(error) => warn!(%domain, %error, "a trust domain has no bundle"),
            }
        }
        let revoked = lock(&self.revoked).clone();
        let trust = Arc::new(Trust { bundles, revoked });
        self.trust.send_if_modified(|known| {
            let news = *known != trust;
            *known = trust;
            news
        });
    }

    fn is_revoked(&self, entitlements: &Entitlements, domain: &TrustDomain) -> bool {
        let tenant = entitlements.domains.get(domain).map(|domain| &domain.tenant);
        tenant.is_some_and(|tenant| lock(&self.revoked).tenants.contains(tenant))
    }

    fn domain_is_not_revoked(
        &self,
        entitlements: &Entitlements,
        domain: &TrustDomain,
    ) -> Result<(), UpstreamError> {
        if self.is_revoked(entitlements, domain) {
            return Err(UpstreamError::Revoked(format!("the tenant of {domain}")));
        }
        Ok(())
    }

    fn node_is_not_revoked(&self, node: &str) -> Result<(), UpstreamError> {
        let id = self.config.node_id(node).map_err(|error| UpstreamError::Request(error.to_string()))?;
        if lock(&self.revoked).spiffe_ids.contains(&id) {
            return Err(UpstreamError::Revoked(id.to_string()));
        }
        Ok(())
    }

    /// An ID may be shared: it is gone when it is revoked, or every workload of the node that has it.
    fn member_is_not_revoked(
        &self,
        entitlements: &Entitlements,
        id: &SpiffeId,
        node: &str,
    ) -> Result<(), UpstreamError> {
        let own = self.config.own_node.as_str();
        let revoked = lock(&self.revoked);
        let holds = entitlements.members.iter().any(|(workload, member)| {
            member.id.as_ref() == Ok(id)
                && member.node.as_deref().unwrap_or(own) == node
                && !revoked.workloads.contains(workload)
        });
        if holds && !revoked.spiffe_ids.contains(id) {
            return Ok(());
        }
        Err(UpstreamError::Revoked(id.to_string()))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_audience(audience: &[String]) -> Result<(), UpstreamError> {
    let error = |what: &str| Err(UpstreamError::Request(what.to_owned()));
    if audience.is_empty() {
        return error("a JWT-SVID is for somebody: the audience is empty");
    }
    if audience.len() > AUDIENCES_MAX {
        return error("the audience has too many names");
    }
    if audience.iter().any(|name| name.is_empty() || name.len() > AUDIENCE_MAX_BYTES) {
        return error("a name in the audience is empty or too long");
    }
    Ok(())
}

fn domain_error(error: &DomainError) -> UpstreamError {
    match error {
        DomainError::State(state) => state_error(state),
        // The clock, the disk or the token may be better in a moment.
        DomainError::Root(_) => UpstreamError::Away(error.to_string()),
        DomainError::Issue(_) | DomainError::TooMany(_) => refused(error),
    }
}

/// A full disk is over some day; a damaged file is not, before somebody does something.
fn state_error(error: &AuthorityError) -> UpstreamError {
    match error {
        AuthorityError::Custody(CustodyError::Io { .. } | CustodyError::Token { .. }) => {
            UpstreamError::Away(error.to_string())
        }
        _ => refused(error),
    }
}

fn refused(error: &impl fmt::Display) -> UpstreamError {
    UpstreamError::Refused(error.to_string())
}

impl From<RootError> for UpstreamError {
    fn from(error: RootError) -> Self {
        Self::Away(error.to_string())
    }
}
