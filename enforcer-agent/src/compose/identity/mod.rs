//! The identity room, opened and joined to policy, workloads and callers.

mod scene;
mod serve;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::x509::chain;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use self::scene::Views;
use super::keys;
use crate::admin::Authority;
use crate::config::Settings;
use crate::config::settings::{IdentitySettings, UpstreamSettings};
use crate::door::identity::{Health, IdentityDoor, IsRevoked, Peer, VerifyPeer, WAITING_MAX};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stopper;
use crate::door::upstream::Upstream;
use crate::identity::clock;
use crate::identity::credentials;
use crate::identity::crypto::Checker;
use crate::identity::custody::{CustodyError, Vault};
use crate::identity::keeper::{Keeper, Parts};
use crate::identity::wallet::Wallet;
use crate::workload::CgroupTree;

/// How often the key-encryption key is looked at: a new one seals everything anew.
const KEY_POLL: Duration = Duration::from_secs(2);

/// The room, open: what callers of the agent need of it.
pub(super) struct Opened {
    pub(super) door: IdentityDoor,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) entitlements: watch::Receiver<Arc<Entitlements>>,
}

impl Opened {
    /// What other nodes may ask of this one; a node that asks another is nobody's authority.
    pub(super) fn authority(&self, settings: &Settings) -> Option<Authority> {
        self.door.is_authority.then(|| Authority {
            upstream: Arc::clone(&self.upstream),
            entitlements: self.entitlements.clone(),
            own_node: settings.node_name.clone(),
        })
    }
}

/// Opens the vault: without a key-encryption key there is none, and the agent does not start.
pub(super) fn vault(settings: &Settings) -> Result<Option<Arc<Vault>>> {
    let Some(identity) = &settings.identity else { return Ok(None) };
    let opened = Vault::open(&keys::vault(settings), keys::source(&identity.key));
    let vault = opened.context("the identity wall's keys (or set `identity.enabled: false`)")?;
    Ok(Some(Arc::new(vault)))
}

/// Opens the room, and starts its tasks.
pub(super) async fn open(
    settings: &Settings,
    identity: &IdentitySettings,
    vault: Arc<Vault>,
    policy: &PolicyDoor,
    cgroups: &CgroupTree,
    (tasks, stopper, tell): (&mut JoinSet<()>, &Stopper, Tell),
) -> Result<Opened> {
    let clock = clock::system();
    let views = Views::of(&policy.in_force(), identity.trust_domain.clone());
    let entitlements = views.entitlements.subscribe();
    let (scenes, places) = (views.scenes.subscribe(), views.places.subscribe());
    tasks.spawn(views.follow(policy.watch()));
    let upstream =
        upstream::open(settings, identity, &vault, entitlements.clone(), &clock, (&mut *tasks, stopper))?;
    let (commands, inbox) = mpsc::channel(WAITING_MAX);
    let health = watch::Sender::new(Health::default());
    let own = watch::Sender::new(None);
    let wallet = Wallet::default();
    let shown = watch::Sender::new(Arc::new(BTreeMap::new()));
    let door = IdentityDoor {
        fleet: identity.trust_domain.clone(),
        is_authority: !matches!(identity.upstream, UpstreamSettings::Grpc(_)),
        commands,
        health: health.subscribe(),
        own: own.subscribe(),
        verify: verify(&upstream, identity),
        is_revoked: is_revoked(&upstream, identity),
        trust: upstream.trust(),
        credentials: shown.subscribe(),
    };
    tasks.spawn(credentials::supply(wallet.clone(), shown));
    let keeper = Keeper::new(Parts {
        node: settings.node_name.clone(),
        vault: Arc::clone(&vault),
        upstream: Arc::clone(&upstream),
        wallet: wallet.clone(),
        clock: Arc::clone(&clock),
        lifetime: identity.lifetimes.svid,
        scene: scenes,
        commands: inbox,
        health,
        own,
        verify: Arc::clone(&door.verify),
        weaknesses: weaknesses(identity),
        tell: Arc::clone(&tell),
    });
    tasks.spawn(keeper.run(stopper.listener()));
    tasks.spawn(watch_key(vault));
    let serving =
        serve::Serving { settings, identity, upstream: &upstream, wallet, places, cgroups, clock, tell };
    serving.start(tasks, stopper).await?;
    Ok(Opened { door, upstream, entitlements })
}

fn is_revoked(upstream: &Arc<dyn Upstream>, identity: &IdentitySettings) -> IsRevoked {
    let (trust, fleet) = (upstream.trust(), identity.trust_domain.clone());
    Arc::new(move |id| trust.borrow().revoked.check(id, &fleet).is_err())
}

fn weaknesses(identity: &IdentitySettings) -> Vec<String> {
    let unconstrained = "identity.nameConstraints is none: a node CA that is stolen could speak for another tenant \
                         to verifiers that do not choose the bundle by trust domain";
    if identity.name_constraints { Vec::new() } else { vec![unconstrained.to_owned()] }
}

/// Checks chains with the bundles in force, each with that of its own trust domain.
fn verify(upstream: &Arc<dyn Upstream>, identity: &IdentitySettings) -> VerifyPeer {
    let (trust, fleet) = (upstream.trust(), identity.trust_domain.clone());
    Arc::new(move |chain, now| {
        let trust = Arc::clone(&trust.borrow());
        let verified = chain::verify(chain, &trust, &fleet, now, &Checker)?;
        Ok(Peer { id: verified.leaf.id, not_after: verified.until })
    })
}

/// Has everything sealed anew when the key-encryption key is another one.
async fn watch_key(vault: Arc<Vault>) {
    let mut poll = interval(KEY_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut told, mut current) = (None, vault.kek_id());
    loop {
        poll.tick().await;
        let vault = Arc::clone(&vault);
        let Ok(rewrapped) = tokio::task::spawn_blocking(move || vault.rewrap()).await else { return };
        match rewrapped {
            Ok(rewrapped) => {
                if rewrapped.current != current {
                    info!(key = rewrapped.current, older = rewrapped.older, "a new key-encryption key seals");
                    current = rewrapped.current;
                }
                told = None;
            }
            Err(error) => tell_once(&mut told, &error),
        }
    }
}

fn tell_once(told: &mut Option<String>, error: &CustodyError) {
    let text = error.to_string();
    if told.as_ref() != Some(&text) {
        warn!(error = text, "the key-encryption key cannot be looked at; the one in memory stays in use");
        *told = Some(text);
    }
}
