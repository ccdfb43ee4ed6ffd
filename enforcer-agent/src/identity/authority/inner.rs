//! The authority's works: its root, its trust domains, and the trust that it publishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enforcer_core::identity::bundle::{Revocations, Trust};
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use tokio::sync::watch;
use tracing::warn;

use super::domain::{Domain, DomainError, Tools};
use super::error::{AuthorityError, RootError};
use super::root::Root;
use super::root_source::RootHolder;
use super::settings::{AuthorityConfig, Clock};
use crate::door::upstream::UpstreamError;
use crate::identity::custody::{CustodyError, Vault};

/// What the authority works with. Everything here may wait for the disk.
pub(super) struct Inner {
    pub(super) vault: Arc<Vault>,
    pub(super) config: AuthorityConfig,
    pub(super) clock: Clock,
    pub(super) entitlements: watch::Receiver<Arc<Entitlements>>,
    pub(super) root: Mutex<RootHolder>,
    /// The root as it was last: a token that hangs while it is asked again holds nobody up.
    current_root: Mutex<Result<Arc<Root>, String>>,
    domains: Mutex<BTreeMap<TrustDomain, Arc<Mutex<Domain>>>>,
    pub(super) revoked: Mutex<Revocations>,
    pub(super) trust: watch::Sender<Arc<Trust>>,
    /// Held while the trust is put together, so that an older one never replaces a newer.
    publishing: Mutex<()>,
}

impl Inner {
    pub(super) fn new(
        vault: Arc<Vault>,
        config: AuthorityConfig,
        entitlements: watch::Receiver<Arc<Entitlements>>,
        clock: Clock,
        revoked: Revocations,
    ) -> Self {
        Self {
            vault,
            config,
            clock,
            entitlements,
            root: Mutex::default(),
            current_root: Mutex::new(Err("it was not read yet".to_owned())),
            domains: Mutex::default(),
            revoked: Mutex::new(revoked),
            trust: watch::Sender::default(),
            publishing: Mutex::new(()),
        }
    }

    /// Brings everything up to date and publishes it.
    pub(super) fn refresh(&self) {
        let current = {
            let mut root = lock(&self.root);
            root.refresh(&self.vault, &self.config, (self.clock)());
            root.current()
        };
        *lock(&self.current_root) = current;
        self.publish();
    }

    /// Has a trust domain do something; its bundle may change by that.
    pub(super) fn with<T>(
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
        let root = lock(&self.current_root).clone();
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
        let mut revoked = lock(&self.revoked).clone();
        let ids = ids_of_revoked(&revoked, &entitlements);
        revoked.spiffe_ids.extend(ids);
        let trust = Arc::new(Trust { bundles, revoked });
        self.trust.send_if_modified(|known| {
            let news = *known != trust;
            *known = trust;
            news
        });
    }

    /// Whether the tenant of a trust domain is.
    pub(super) fn is_revoked(&self, entitlements: &Entitlements, domain: &TrustDomain) -> bool {
        let tenant = entitlements.domains.get(domain).map(|domain| &domain.tenant);
        tenant.is_some_and(|tenant| lock(&self.revoked).tenants.contains(tenant))
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) fn state_error(error: &AuthorityError) -> UpstreamError {
    match error {
        AuthorityError::Custody(CustodyError::Io { .. } | CustodyError::Token { .. }) => {
            UpstreamError::Away(error.to_string())
        }
        _ => refused(error),
    }
}

pub(super) fn refused(error: &impl fmt::Display) -> UpstreamError {
    UpstreamError::Refused(error.to_string())
}

impl From<RootError> for UpstreamError {
    fn from(error: RootError) -> Self {
        Self::Away(error.to_string())
    }
}

/// A certificate names no workload, so what verifiers go by is the ID; not one that another workload has by right.
fn ids_of_revoked(revoked: &Revocations, entitlements: &Entitlements) -> BTreeSet<SpiffeId> {
    let ids = |is_revoked: bool| {
        let members = entitlements.members.iter();
        let some = members.filter(move |(name, _)| revoked.workloads.contains(*name) == is_revoked);
        some.filter_map(|(_, member)| member.id.as_ref().ok())
    };
    if revoked.workloads.is_empty() {
        return BTreeSet::new();
    }
    let by_right: BTreeSet<&SpiffeId> = ids(false).collect();
    ids(true).filter(|id| !by_right.contains(id)).cloned().collect()
}
