//! The keeper's loop: what happened, which steps follow, what is handed to tasks. It owns every state, so that
//! none is locked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::lifecycle::Event;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use rustls::sign::CertifiedKey;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::OUTCOMES_WAITING_MAX;
use super::chores::Chores;
use super::domain::{Domain, RevokedSerial};
use super::member::Member;
use super::own::Own;
use super::shelf::Shelf;
use super::task::{Outcome, Wish};
use crate::door::identity::{Command, Health, VerifyPeer};
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::door::upstream::Upstream;
use crate::identity::clock::{Clock, die};
use crate::identity::custody::Vault;
use crate::identity::wallet::Wallet;

/// How often the clock is looked at: what is due, and whether it was set.
const TICK: Duration = Duration::from_secs(1);
/// A step back of the clock by more than this has everything looked at again.
const SET_BACK: Duration = Duration::from_secs(5);

/// What the policy says, and which of its workloads are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// What the policy says.
    pub entitlements: Arc<Entitlements>,
    /// Workloads of this node whose control group exists.
    pub present: Arc<BTreeSet<Name>>,
}

/// What the keeper works with.
pub struct Parts {
    /// The node's name.
    pub node: String,
    /// Where what survives a restart is kept.
    pub vault: Arc<Vault>,
    /// Who vouches.
    pub upstream: Arc<dyn Upstream>,
    /// Where workloads' standings go.
    pub wallet: Wallet,
    /// Time of day.
    pub clock: Clock,
    /// How long a workload's certificate lasts.
    pub lifetime: Duration,
    /// What the policy says.
    pub scene: watch::Receiver<Arc<Scene>>,
    /// What is asked of the keeper.
    pub commands: mpsc::Receiver<Command>,
    /// How the room is.
    pub health: watch::Sender<Health>,
    /// The node's own certificate.
    pub own: watch::Sender<Option<Arc<CertifiedKey>>>,
    /// Checks a chain against the bundles in force.
    pub verify: VerifyPeer,
    /// What the configuration made weaker, a sentence each: told for as long as it is so.
    pub weaknesses: Vec<String>,
    /// Where what happens to identities is told.
    pub tell: Tell,
}

/// The keeper.
pub struct Keeper {
    pub(super) node: String,
    pub(super) shelf: Shelf,
    pub(super) chores: Chores,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) wallet: Wallet,
    pub(super) clock: Clock,
    pub(super) lifetime: Duration,
    pub(super) verify: VerifyPeer,
    pub(super) health: watch::Sender<Health>,
    pub(super) weaknesses: Vec<String>,
    pub(super) tell: Tell,
    pub(super) entitlements: Arc<Entitlements>,
    pub(super) trust: Arc<Trust>,
    pub(super) members: BTreeMap<Name, Member>,
    pub(super) domains: BTreeMap<TrustDomain, Domain>,
    pub(super) own: Own,
    /// What was wished for and not yet handed to a task, by trust domain: first to be looked for, then issued.
    pub(super) unseen: BTreeMap<TrustDomain, Vec<Wish>>,
    pub(super) wanted: BTreeMap<TrustDomain, Vec<Wish>>,
    pub(super) running: usize,
    /// Questions that were asked, ever: no two have the same number.
    pub(super) questions: u64,
    /// What was revoked and is to be listed, when everybody concerned was closed.
    pub(super) struck: BTreeMap<TrustDomain, Vec<RevokedSerial>>,
    pub(super) outcomes: mpsc::Sender<Outcome>,
    pub(super) due: BTreeSet<(Duration, Name)>,
    pub(super) looked_at: Duration,
    pub(super) scenes: watch::Receiver<Arc<Scene>>,
    pub(super) trusts: watch::Receiver<Arc<Trust>>,
    commands: mpsc::Receiver<Command>,
    pub(super) answers: mpsc::Receiver<Outcome>,
}

impl Keeper {
    /// A keeper that has not looked at anything yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            node,
            vault,
            upstream,
            wallet,
            clock,
            lifetime,
            scene: scenes,
            commands,
            health,
            own,
            verify,
            weaknesses,
            tell,
        } = parts;
        let (outcomes, answers) = mpsc::channel(OUTCOMES_WAITING_MAX);
        let entitlements = Arc::clone(&scenes.borrow().entitlements);
        let (looked_at, trusts) = (clock(), upstream.trust());
        Self {
            node,
            shelf: Shelf(vault),
            chores: Chores::default(),
            upstream,
            wallet,
            clock,
            lifetime,
            verify,
            health,
            weaknesses,
            tell,
            entitlements,
            trust: Arc::default(),
            members: BTreeMap::new(),
            domains: BTreeMap::new(),
            own: Own::new(own),
            unseen: BTreeMap::new(),
            wanted: BTreeMap::new(),
            running: 0,
            questions: 0,
            struck: BTreeMap::new(),
            outcomes,
            due: BTreeSet::new(),
            looked_at,
            scenes,
            trusts,
            commands,
            answers,
        }
    }

    /// Keeps until the agent stops. Certificates that were served stay good until they end.
    pub async fn run(mut self, mut stop: Stop) {
        self.start();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Who is told that something was revoked is told so after it was.
                biased;
                () = stop.wait() => return self.finish_chores().await,
                changed = self.trusts.changed() => match changed {
                    Ok(()) => self.follow_trust(),
                    Err(_) => return,
                },
                changed = self.scenes.changed() => match changed {
                    Ok(()) => self.follow_scene(),
                    Err(_) => return,
                },
                Some(outcome) = self.answers.recv() => self.learn(outcome),
                Some(command) = self.commands.recv() => self.answer(command),
                _ = ticks.tick() => self.tick(),
            }
            self.dispatch();
        }
    }

    /// The first look at everything.
    pub(super) fn start(&mut self) {
        self.follow_trust();
        self.follow_scene();
        if self.own.take(Event::Placed, (self.clock)(), die()) {
            self.ask_for_own();
        }
        self.dispatch();
    }

    /// Does what the clock says.
    pub(super) fn tick(&mut self) {
        let now = (self.clock)();
        let was_set_back = now + SET_BACK < self.looked_at;
        if was_set_back {
            warn!(
                seconds = self.looked_at.saturating_sub(now).as_secs(),
                "the clock was set back: every certificate is looked at again"
            );
        }
        self.looked_at = now;
        let due: Vec<Name> = if was_set_back {
            self.members.keys().cloned().collect()
        } else {
            self.due.iter().take_while(|(at, _)| *at <= now).map(|(_, name)| Arc::clone(name)).collect()
        };
        for name in due {
            self.apply(&name, Event::Tick);
        }
        if self.own.take(Event::Tick, now, die()) {
            self.ask_for_own();
        }
        self.renew_cas(now);
        self.renew_lists(now);
        self.report_health(now);
    }

    fn renew_lists(&mut self, now: Duration) {
        let due = self.domains.iter().filter(|(_, domain)| domain.lists_are_due(now));
        let due: BTreeSet<TrustDomain> = due.map(|(name, _)| name.clone()).collect();
        for name in &due {
            if let Some(domain) = self.domains.get_mut(name) {
                domain.sign_lists(now);
                self.chores.put_revoked(name, &domain.revoked);
            }
        }
        self.publish_to_all_who_meet(&due);
    }

    fn renew_cas(&mut self, now: Duration) {
        let due: Vec<TrustDomain> = self
            .domains
            .iter()
            .filter(|(_, domain)| domain.term().is_some() && domain.wants_ca(now))
            .map(|(name, _)| name.clone())
            .collect();
        for domain in due {
            self.ask_for_ca(domain);
        }
    }
}
