//! The authority against a real vault, real `openssl verify`, a real token, and a clock that the test holds.

mod chains;
mod damage;
pub(crate) mod openssl;
mod profile;
mod requests;
mod revocation;
mod roots;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::entitle::{Domain, Entitlement, Entitlements, NoIdentity};
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use super::{AuthorityConfig, Clock, Local, NodeCa, request};
use crate::door::upstream::{Upstream as _, UpstreamError};
use crate::identity::custody::tests::Home;
use crate::identity::svid::Svid;

/// The first second of the tests: in 2025.
pub(crate) const START: u64 = 1_750_000_000;
pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 24 * HOUR;

/// An authority with a clock, a policy and a vault.
pub(crate) struct Fleet {
    pub(crate) home: Home,
    pub(crate) config: AuthorityConfig,
    clock: Arc<AtomicU64>,
    policy: watch::Sender<Arc<Entitlements>>,
}

pub(crate) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

/// `red` has a workload on this node and on `node-2`, `blue` on this node.
pub(crate) fn policy() -> Entitlements {
    let fleet = domain("fleet.example");
    let (red, blue) = (domain("red.fleet.example"), domain("blue.fleet.example"));
    let own = || BTreeSet::from([None]);
    let domains = BTreeMap::from([
        (
            red.clone(),
            Domain {
                tenant: "red".into(),
                federates_with: BTreeSet::from([blue.clone()]),
                nodes: BTreeSet::from([None, Some("node-2".into())]),
            },
        ),
        (
            blue.clone(),
            Domain { tenant: "blue".into(), federates_with: BTreeSet::from([red.clone()]), nodes: own() },
        ),
    ]);
    let member = |tenant: &str, domain: &TrustDomain, path: &str, node: Option<&str>| Entitlement {
        tenant: tenant.into(),
        domain: domain.clone(),
        id: Ok(domain.member(path).unwrap()),
        node: node.map(Into::into),
    };
    let nameless = Entitlement { id: Err(NoIdentity::NoAccount), ..member("red", &red, "/x", None) };
    let members = BTreeMap::from([
        ("red-web".into(), member("red", &red, "/ns/a/sa/web", None)),
        ("red-far".into(), member("red", &red, "/ns/a/sa/far", Some("node-2"))),
        ("red-none".into(), nameless),
        ("blue-db".into(), member("blue", &blue, "/ns/b/sa/db", None)),
    ]);
    Entitlements { fleet, members, domains }
}

impl Fleet {
    pub(crate) fn new() -> Self {
        Self {
            home: Home::new(),
            config: AuthorityConfig::new(domain("fleet.example"), "node-1".to_owned()),
            clock: Arc::new(AtomicU64::new(START)),
            policy: watch::Sender::new(Arc::new(policy())),
        }
    }

    /// Opens the authority, as a start of the agent does.
    pub(crate) fn open(&self) -> Arc<Local> {
        let vault = Arc::new(self.home.open());
        Local::open(vault, self.config.clone(), self.policy.subscribe(), self.clock()).unwrap()
    }

    pub(crate) fn clock(&self) -> Clock {
        let clock = Arc::clone(&self.clock);
        Arc::new(move || Duration::from_secs(clock.load(Ordering::SeqCst)))
    }

    pub(crate) fn now(&self) -> Duration {
        Duration::from_secs(self.clock.load(Ordering::SeqCst))
    }

    pub(crate) fn set_clock(&self, seconds: u64) {
        self.clock.store(seconds, Ordering::SeqCst);
    }

    pub(crate) fn policy(&self) -> &watch::Sender<Arc<Entitlements>> {
        &self.policy
    }
}

/// What the authority's timer does.
fn tick(local: &Local) {
    local.inner.refresh();
}

fn bundle(local: &Local, name: &str) -> Arc<Bundle> {
    Arc::clone(&local.trust().borrow().bundles[&domain(name)])
}

/// A node CA for this node.
async fn node_ca(local: &Local, name: &str) -> Result<NodeCa, UpstreamError> {
    let (key, csr) = request().unwrap();
    let chain = local.node_ca("node-1", &domain(name), &csr).await?;
    Ok(NodeCa::new(chain, &key).unwrap())
}

fn web() -> SpiffeId {
    domain("red.fleet.example").member("/ns/a/sa/web").unwrap()
}

async fn svid(fleet: &Fleet, local: &Local) -> Svid {
    let ca = node_ca(local, "red.fleet.example").await.unwrap();
    ca.issue_svid(&web(), fleet.now(), Duration::from_secs(HOUR)).unwrap()
}

fn anchor(local: &Local, name: &str) -> CertificateDer<'static> {
    bundle(local, name).x509[0].clone()
}
