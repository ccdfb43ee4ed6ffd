//! What every flow of the tunnel needs: who this node's workloads are, what they may, and where records go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::bucket::{Bucket, Rate};
use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::Refusal;
use enforcer_proto::v1;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::error;

use super::budget::{self, Share};
use super::hbone::client::pool::Pool as HbonePool;
use super::hbone_peers::HbonePeers;
use super::idle::Idle;
use super::post::Listener;
use super::posts::Standing;
use super::registry::{Direction, Registry};
use super::tls::{Configs, Facts, Hops, PeerCheck, Pool, Purse};
use super::{dial, record};
use crate::config::settings::TunnelSettings;
use crate::door::identity::IsRevoked;
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::door::tunnel::{Credential, Credentials};

/// Records of refusals that a tenant may cause per second, and at once; the others are counted.
const REFUSALS_PER_SECOND: u32 = 200;

/// Each workload's configurations, and the certificate that they were made with.
type Wardrobe = BTreeMap<Name, (Arc<Credential>, Arc<Configs>)>;

/// See the module.
pub(super) struct Shared {
    pub(super) node: String,
    pub(super) fleet: TrustDomain,
    pub(super) settings: TunnelSettings,
    pub(super) hops: Hops,
    pub(super) registry: Arc<Registry>,
    pub(super) check: Arc<PeerCheck>,
    pub(super) idle: Idle,
    pub(super) hbone_peers: HbonePeers,
    pub(super) hbone: HbonePool<dial::Failed, Arc<Facts>>,
    /// The workload behind each control group of the node.
    pub(super) groups: watch::Receiver<Arc<BTreeMap<u64, Name>>>,
    pub(super) standing: watch::Sender<Arc<Standing>>,
    /// Every listener, for a successor.
    pub(super) listeners: Mutex<Vec<Listener>>,
    /// Told when the agent stops: connections finish what they carry, and begin nothing.
    pub(super) drain: Stop,
    pub(super) credentials: Credentials,
    /// What [`Self::is_revoked`] goes by.
    pub(super) trust: watch::Receiver<Arc<Trust>>,
    pub(super) is_revoked: IsRevoked,
    pub(super) tell: Tell,
    pub(super) wardrobe: Mutex<Wardrobe>,
    pub(super) tenants: Mutex<BTreeMap<Name, Arc<Tenant>>>,
}

/// What belongs to one tenant alone: no buffer and no connection is ever another's.
pub(super) struct Tenant {
    pub(super) name: Name,
    /// Where its identities live.
    pub(super) domain: TrustDomain,
    pub(super) share: Arc<Share>,
    pub(super) pool: Arc<Pool>,
    pub(super) purse: Arc<dyn Purse>,
    /// When refusals are told, not only counted.
    told: Mutex<Bucket>,
    start: Instant,
}

/// A tenant's bytes, as the buffers of both hops ask for them.
struct Bytes(budget::Purse);

impl Purse for Bytes {
    fn take(&self, bytes: usize) -> bool {
        self.0.take(bytes)
    }

    fn give(&self, bytes: usize) {
        self.0.give(bytes);
    }
}

impl Tenant {
    fn new(name: &Name, domain: TrustDomain, share: Arc<Share>) -> Self {
        let purse: Arc<dyn Purse> = Arc::new(Bytes(share.purse()));
        Self {
            name: Arc::clone(name),
            domain,
            pool: Pool::new(Arc::clone(&purse)),
            purse,
            share,
            told: Mutex::default(),
            start: Instant::now(),
        }
    }

    fn may_tell(&self) -> bool {
        let rate = Rate::new(REFUSALS_PER_SECOND, REFUSALS_PER_SECOND);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take(self.start.elapsed(), rate)
    }
}

impl Shared {
    /// Since the Unix epoch.
    pub(super) fn now(&self) -> Duration {
        self.check.now()
    }

    /// The configurations of a workload's connections; made once for each certificate. `None` while it has none.
    pub(super) fn configs(&self, workload: &Name) -> Option<Arc<Configs>> {
        let credential = Arc::clone(self.credentials.borrow().get(workload)?);
        let mut wardrobe = self.wardrobe();
        if let Some((known, configs)) = wardrobe.get(workload)
            && Arc::ptr_eq(known, &credential)
        {
            return Some(Arc::clone(configs));
        }
        match Configs::of(&credential, &self.check, self.hops) {
            Ok(configs) => {
                let configs = Arc::new(configs);
                wardrobe.insert(Arc::clone(workload), (credential, Arc::clone(&configs)));
                Some(configs)
            }
            Err(error) => {
                error!(%workload, %error, "its certificate is of no use to the tunnel");
                None
            }
        }
    }

    /// What belongs to a tenant of the policy.
    pub(super) fn tenant(&self, name: &Name) -> Option<Arc<Tenant>> {
        let mut tenants = self.tenants();
        if let Some(tenant) = tenants.get(name) {
            return Some(Arc::clone(tenant));
        }
        let domain = format!("{name}.{}", self.fleet.as_str()).parse().ok()?;
        let tenant = Arc::new(Tenant::new(name, domain, self.registry.budgets().share(name)));
        tenants.insert(Arc::clone(name), Arc::clone(&tenant));
        Some(tenant)
    }

    /// Forgets workloads and tenants that are no more, and closes what waits for flows of theirs.
    pub(super) fn retain(&self, is_tenant: impl Fn(&Name) -> bool, is_here: impl Fn(&Name) -> bool) {
        self.idle.retain(|pair, _| is_here(&pair.workload));
        self.hbone.retain(|key, _| is_here(&key.workload));
        self.tenants().retain(|name, _| is_tenant(name));
        let credentials = Arc::clone(&self.credentials.borrow());
        self.wardrobe().retain(|name, _| credentials.contains_key(name));
    }

    /// Whether an identity at either end of a connection of this workload was taken away.
    pub(super) fn is_taken_away(&self, workload: &Name, facts: &Facts) -> bool {
        self.is_revoked_by_name(workload)
            || (self.is_revoked)(&facts.peer.id)
            || (self.is_revoked)(&facts.own)
    }

    /// Whether a workload of this node was revoked by its name, which no ID tells of.
    pub(super) fn is_revoked_by_name(&self, workload: &Name) -> bool {
        self.trust.borrow().revoked.workloads.contains(workload)
    }

    /// Waits until it is: a connection that waits for a flow is closed then.
    pub(super) async fn taken_away(&self, workload: &Name, facts: &Facts) {
        let mut trust = self.trust.clone();
        loop {
            trust.mark_unchanged();
            if self.is_taken_away(workload, facts) {
                return;
            }
            if trust.changed().await.is_err() {
                // The agent stops.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Counts a refusal, and tells of it when its tenant has not caused too many.
    pub(super) fn refuse(
        &self,
        tenant: &Tenant,
        direction: Direction,
        tunnel: v1::Tunnel,
        refusal: &Refusal,
    ) {
        self.registry.refused(&tenant.name, direction, refusal.reason);
        if tenant.may_tell() {
            (self.tell)(record::refused(&self.node, self.registry.court().revision(), tunnel, refusal));
        }
    }

    pub(super) fn listeners(&self) -> Vec<Listener> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_listeners(&self, listeners: Vec<Listener>) {
        *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) = listeners;
    }

    fn wardrobe(&self) -> MutexGuard<'_, Wardrobe> {
        self.wardrobe.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Tenant>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
