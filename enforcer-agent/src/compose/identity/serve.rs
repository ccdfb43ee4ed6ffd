//! Opening what workloads and friends are served.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use enforcer_core::identity::{jwks, jwt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::error;

use crate::config::Settings;
use crate::config::settings::{FederationSettings, IdentitySettings};
use crate::door::records::Tell;
use crate::door::stop::Stopper;
use crate::door::upstream::Upstream;
use crate::identity::attest::Attestor;
use crate::identity::clock::Clock;
use crate::identity::crypto::Checker;
use crate::identity::serve::federation::{FederationDoor, Publication};
use crate::identity::serve::{self, Jwt, ServeLimits, ServeParts, WorkloadDoor};
use crate::identity::svid::Places;
use crate::identity::wallet::Wallet;
use crate::workload::CgroupTree;

/// For how many seconds' worth of requests a tenant may ask at a stroke.
const BURST_SECONDS: u32 = 10;

/// What serving is put together from.
pub(super) struct Serving<'a> {
    pub(super) settings: &'a Settings,
    pub(super) identity: &'a IdentitySettings,
    pub(super) upstream: &'a Arc<dyn Upstream>,
    pub(super) wallet: Wallet,
    pub(super) places: watch::Receiver<Arc<Places>>,
    pub(super) cgroups: &'a CgroupTree,
    pub(super) clock: Clock,
    pub(super) tell: Tell,
}

impl Serving<'_> {
    /// Opens the doors, and starts what answers at them.
    pub(super) async fn start(self, tasks: &mut JoinSet<()>, stopper: &Stopper) -> Result<()> {
        if let Some(federation) = &self.identity.federation {
            let door = federation_door(federation).await?;
            let publication = Publication {
                published: federation.published.clone(),
                fleet: self.identity.trust_domain.clone(),
                trust: self.upstream.trust(),
                write: jwks::write,
            };
            tasks.spawn(door.run(publication, stopper.listener()));
        }
        let parts = ServeParts {
            door: WorkloadDoor::open(&self.identity.socket).context("the workload socket")?,
            attest: Arc::new(self.attestor()),
            wallet: self.wallet.clone(),
            upstream: Arc::clone(self.upstream),
            node: self.settings.node_name.clone(),
            jwt: self.jwt(),
            limits: limits(self.identity),
            tell: self.tell,
            stop: stopper.listener(),
        };
        tasks.spawn(async move {
            if let Err(error) = serve::run(parts).await {
                error!(%error, "workloads are no longer served");
            }
        });
        Ok(())
    }

    fn attestor(&self) -> Attestor {
        let (by_id, by_path) = (self.cgroups.clone(), self.cgroups.clone());
        let lineage = Arc::new(move |id: &u64| by_id.lineage(*id));
        Attestor::new(self.places.clone(), lineage, Arc::new(move |path: &str| by_path.lineage_of_path(path)))
    }

    fn jwt(&self) -> Jwt {
        let (trust, fleet) = (self.upstream.trust(), self.identity.trust_domain.clone());
        let clock = Arc::clone(&self.clock);
        let validate = move |token: &str, audience: &str| {
            let trust = Arc::clone(&trust.borrow());
            let unverified = jwt::parse(token).map_err(|error| error.to_string())?;
            let verified = unverified.verify(audience, &trust, &fleet, clock(), &Checker);
            verified.map(|token| (token.id, token.claims)).map_err(|error| error.to_string())
        };
        Jwt { bundle: jwks::write_jwt, validate: Arc::new(validate), lifetime: self.identity.lifetimes.jwt }
    }
}

async fn federation_door(settings: &FederationSettings) -> Result<FederationDoor> {
    let (certificate, key) = (settings.own.certificate.clone(), settings.own.key.clone());
    let door = FederationDoor::open(settings.address, certificate, key).await;
    door.context("the federation endpoint")
}

fn limits(identity: &IdentitySettings) -> ServeLimits {
    let limits = identity.limits;
    ServeLimits {
        streams_per_tenant: limits.streams_per_tenant,
        requests_per_second: limits.requests_per_second,
        requests_burst: limits.requests_per_second.saturating_mul(BURST_SECONDS),
        ..ServeLimits::default()
    }
}
