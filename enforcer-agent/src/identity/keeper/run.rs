//! The keeper's loop: what happened, which steps follow, what is handed to tasks. It owns every state, so that
//! none is locked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::lifecycle::{Action, Event, State, step};
use enforcer_core::identity::schedule::Term;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use rustls::sign::CertifiedKey;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::domain::Domain;
use super::material::Stock;
use super::member::Member;
use super::own::Own;
use super::shelf::Shelf;
use super::task::{Outcome, Wish};
use super::{OUTCOMES_WAITING_MAX, trust};
use crate::door::identity::{Command, Health, VerifyPeer};
use crate::door::stop::Stop;
use crate::door::upstream::{Upstream, UpstreamError};
use crate::identity::authority::NodeCa;
use crate::identity::clock::{Clock, die};
use crate::identity::custody::Vault;
use crate::identity::svid::Svid;
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
}

/// The keeper.
pub struct Keeper {
    pub(super) node: String,
    pub(super) shelf: Shelf,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) wallet: Wallet,
    pub(super) clock: Clock,
    pub(super) lifetime: Duration,
    pub(super) verify: VerifyPeer,
    pub(super) health: watch::Sender<Health>,
    pub(super) weaknesses: Vec<String>,
    pub(super) entitlements: Arc<Entitlements>,
    pub(super) trust: Arc<Trust>,
    pub(super) members: BTreeMap<Name, Member>,
    pub(super) domains: BTreeMap<TrustDomain, Domain>,
    pub(super) own: Own,
    /// What was wished for and not yet handed to a task, by trust domain: first to be looked for, then issued.
    pub(super) unseen: BTreeMap<TrustDomain, Vec<Wish>>,
    pub(super) wanted: BTreeMap<TrustDomain, Vec<Wish>>,
    pub(super) running: usize,
    pub(super) outcomes: mpsc::Sender<Outcome>,
    due: BTreeSet<(Duration, Name)>,
    looked_at: Duration,
    scenes: watch::Receiver<Arc<Scene>>,
    trusts: watch::Receiver<Arc<Trust>>,
    commands: mpsc::Receiver<Command>,
    answers: mpsc::Receiver<Outcome>,
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
        } = parts;
        let (outcomes, answers) = mpsc::channel(OUTCOMES_WAITING_MAX);
        let entitlements = Arc::clone(&scenes.borrow().entitlements);
        let (looked_at, trusts) = (clock(), upstream.trust());
        Self {
            node,
            shelf: Shelf(vault),
            upstream,
            wallet,
            clock,
            lifetime,
            verify,
            health,
            weaknesses,
            entitlements,
            trust: Arc::default(),
            members: BTreeMap::new(),
            domains: BTreeMap::new(),
            own: Own::new(own),
            unseen: BTreeMap::new(),
            wanted: BTreeMap::new(),
            running: 0,
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
                () = stop.wait() => return,
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

    /// Takes up a new policy, or what came and went on the node.
    pub(super) fn follow_scene(&mut self) {
        let scene = Arc::clone(&self.scenes.borrow_and_update());
        let before = std::mem::replace(&mut self.entitlements, Arc::clone(&scene.entitlements));
        self.forget_strangers();
        let here: Vec<Name> = self.local().map(|(name, _)| Arc::clone(name)).collect();
        for name in here {
            self.enlist(&name, scene.present.contains(&name));
        }
        let kept: BTreeSet<TrustDomain> =
            self.members.values().map(|member| member.entitlement.domain.clone()).collect();
        self.domains.retain(|domain, _| kept.contains(domain));
        let changed =
            |domain: &TrustDomain| before.domains.get(domain) != scene.entitlements.domains.get(domain);
        let affected: BTreeSet<TrustDomain> = kept.iter().filter(|domain| changed(domain)).cloned().collect();
        self.publish_domains(&affected);
    }

    fn local(&self) -> impl Iterator<Item = (&Name, &enforcer_core::identity::entitle::Entitlement)> {
        let is_here = |node: &Option<Name>| node.as_deref().is_none_or(|node| node == self.node);
        self.entitlements.members.iter().filter(move |(_, entitlement)| is_here(&entitlement.node))
    }

    /// Workloads that the policy no longer places here, or has given to another tenant or another name.
    fn forget_strangers(&mut self) {
        let here: BTreeMap<&Name, _> = self.local().collect();
        let same =
            |name: &Name, member: &Member| here.get(name).is_some_and(|now| **now == member.entitlement);
        let gone: Vec<Name> = self
            .members
            .iter()
            .filter(|(name, member)| !same(name, member))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        for name in gone {
            self.apply(&name, Event::Left);
            if let Some(member) = self.members.remove(&name) {
                self.shelf.remove_svid(&member.entitlement.domain, &name);
            }
        }
    }

    fn enlist(&mut self, name: &Name, is_present: bool) {
        let Some(entitlement) = self.entitlements.members.get(name) else { return };
        let domain = entitlement.domain.clone();
        let member = self.members.entry(Arc::clone(name)).or_insert_with(|| Member::new(entitlement.clone()));
        let event = match (&member.entitlement.id, is_present) {
            (_, false) => Event::Left,
            (Err(why), true) => Event::Unnamed(why.to_string().into()),
            (Ok(_), true) => Event::Placed,
        };
        let is_revoked = trust::revoked(&self.trust, name, member);
        // Of what concerns it already nothing follows.
        let is_news = !matches!((&event, &member.state), (Event::Placed, state) if *state != State::Absent);
        if is_present && !self.domains.contains_key(&domain) {
            self.open_domain(domain);
        }
        if is_news {
            self.apply(name, event);
        }
        if let (Some(reason), true) = (is_revoked, is_present) {
            self.apply(name, Event::Revoked(reason));
        }
    }

    fn open_domain(&mut self, name: TrustDomain) {
        self.domains.insert(name.clone(), Domain::new(self.shelf.revoked(&name)));
        self.look_for_ca(name);
    }

    /// Takes up new bundles and revocations.
    pub(super) fn follow_trust(&mut self) {
        let latest = Arc::clone(&self.trusts.borrow_and_update());
        let before = std::mem::replace(&mut self.trust, Arc::clone(&latest));
        let changed: BTreeSet<TrustDomain> = before
            .bundles
            .keys()
            .chain(latest.bundles.keys())
            .filter(|domain| before.bundles.get(*domain) != latest.bundles.get(*domain))
            .cloned()
            .collect();
        if before.revoked != latest.revoked {
            self.follow_revocations();
        }
        if changed.is_empty() {
            return;
        }
        self.follow_anchors(&changed);
        let meets = |domain: &TrustDomain| {
            let others = self.entitlements.domains.get(domain).map(|domain| &domain.federates_with);
            changed.contains(domain) || others.is_some_and(|others| !others.is_disjoint(&changed))
        };
        let affected = self.domains.keys().filter(|domain| meets(domain)).cloned().collect();
        self.publish_domains(&affected);
    }

    fn follow_revocations(&mut self) {
        let verdict = |(name, member): (&Name, &Member)| {
            let event = match (trust::revoked(&self.trust, name, member), &member.state) {
                (Some(reason), State::Revoked(known)) if *known == reason => return None,
                (Some(_), State::Absent) | (None, _) if !matches!(member.state, State::Revoked(_)) => {
                    return None;
                }
                (Some(reason), _) => Event::Revoked(reason),
                (None, _) => Event::Restored,
            };
            Some((Arc::clone(name), event))
        };
        let news: Vec<(Name, Event)> = self.members.iter().filter_map(verdict).collect();
        for (name, event) in news {
            self.apply(&name, event);
        }
    }

    /// What hangs from an authority that is no longer in the bundle is replaced.
    fn follow_anchors(&mut self, changed: &BTreeSet<TrustDomain>) {
        for domain in changed {
            let Some(bundle) = self.trust.bundles.get(domain) else { continue };
            if let Some(domain) = self.domains.get_mut(domain) {
                domain.keep_anchored(bundle);
                domain.forgive();
            }
            let hangs = |member: &Member| {
                let svid = member.svid.as_ref().filter(|_| member.entitlement.domain == *domain);
                svid.is_some_and(|svid| !super::domain::is_anchored(&svid.chain, bundle))
            };
            let loose: Vec<Name> = self
                .members
                .iter()
                .filter(|(_, member)| hangs(member))
                .map(|(name, _)| Arc::clone(name))
                .collect();
            for name in loose {
                self.apply(&name, Event::Rotate);
            }
        }
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
        self.report_health(now);
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

    /// Learns what a task found or did.
    pub(super) fn learn(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Looked(domain, found) => {
                self.running = self.running.saturating_sub(1);
                for (wish, svid) in found {
                    match svid {
                        Some(svid) => self.granted(&wish, svid),
                        None => self.wanted.entry(domain.clone()).or_default().push(wish),
                    }
                }
            }
            Outcome::Issued(issued) => {
                self.running = self.running.saturating_sub(1);
                for (wish, svid) in issued {
                    match svid {
                        Ok(svid) => {
                            if let Some(member) = self.members.get_mut(&wish.workload) {
                                member.issued += 1;
                            }
                            self.granted(&wish, svid);
                        }
                        Err(error) => self.failed(&wish, &UpstreamError::Away(error)),
                    }
                }
            }
            Outcome::NodeCa(domain, answer, before) => self.take_ca(&domain, answer, before),
            Outcome::Own(answer) => self.take_own(answer),
            Outcome::Told(reply, answer) => {
                // The authority published before it answered.
                if self.trusts.has_changed().unwrap_or(false) {
                    self.follow_trust();
                }
                let _gone = reply.send(answer);
            }
        }
    }

    fn take_ca(
        &mut self,
        name: &TrustDomain,
        answer: Result<Arc<NodeCa>, UpstreamError>,
        before: Option<Arc<NodeCa>>,
    ) {
        let now = (self.clock)();
        let Some(domain) = self.domains.get_mut(name) else { return };
        domain.is_asked = false;
        if let Some(before) = before {
            domain.take(before, now, die());
        }
        match answer {
            Ok(ca) => {
                info!(domain = %name, not_after = ca.not_after().as_secs(), "node CA in place");
                domain.take(ca, now, die());
                for workload in domain.unlisted.clone() {
                    if let Some(svid) = self.members.get(&workload).and_then(|member| member.svid.as_ref()) {
                        domain.note_issuer(&workload, svid);
                    }
                }
                self.publish_domains(&BTreeSet::from([name.clone()]));
            }
            Err(error) => {
                warn!(domain = %name, %error, "no node CA");
                domain.fail(error, now, die());
            }
        }
    }

    fn take_own(&mut self, answer: Result<Arc<CertifiedKey>, UpstreamError>) {
        let now = (self.clock)();
        let answer = answer.and_then(|key| {
            let leaf = key.cert.first().ok_or_else(|| UpstreamError::Refused("an empty chain".to_owned()))?;
            let leaf = enforcer_core::identity::x509::leaf::parse_leaf(leaf)
                .map_err(|error| UpstreamError::Refused(error.to_string()))?;
            Ok((key, Term::new(leaf.not_before, leaf.not_after, die())))
        });
        if self.own.answered(answer, now, die()) {
            self.ask_for_own();
        }
    }

    /// A certificate came: it is served if it still answers what was asked last.
    fn granted(&mut self, wish: &Wish, svid: Svid) {
        let now = (self.clock)();
        let Some(member) = self.members.get_mut(&wish.workload) else { return };
        if member.question != wish.question {
            debug!(workload = %wish.workload, "a certificate came that is no longer wanted");
            return;
        }
        let term = Term::new(svid.not_before, svid.not_after, die());
        let before = member.state.due();
        let (state, action) =
            step(std::mem::replace(&mut member.state, State::Absent), Event::Issued(term), now, die());
        member.state = state;
        if action == Action::Serve {
            if let Some(domain) = self.domains.get_mut(&member.entitlement.domain) {
                domain.note_issuer(&wish.workload, &svid);
            }
            info!(
                workload = %wish.workload,
                id = %svid.id,
                serial = hex(&svid.serial),
                not_after = svid.not_after.as_secs(),
                "certificate in place"
            );
            member.svid = Some(Arc::new(svid));
        }
        self.reschedule(&wish.workload, before);
        self.publish(&wish.workload);
    }

    /// Nothing came.
    pub(super) fn failed(&mut self, wish: &Wish, error: &UpstreamError) {
        let Some(member) = self.members.get(&wish.workload) else { return };
        if member.question != wish.question {
            return;
        }
        warn!(workload = %wish.workload, %error, "no certificate");
        let event = match error {
            UpstreamError::Away(_) | UpstreamError::Request(_) => Event::Failed,
            UpstreamError::Refused(_) | UpstreamError::Revoked(_) => Event::Refused(error.to_string().into()),
        };
        self.apply(&wish.workload, event);
    }

    /// Lets something happen to a workload, and does what follows.
    pub(super) fn apply(&mut self, name: &Name, event: Event) {
        let now = (self.clock)();
        let Some(member) = self.members.get_mut(name) else { return };
        let before = member.state.due();
        let (state, action) = step(std::mem::replace(&mut member.state, State::Absent), event, now, die());
        member.state = state;
        self.reschedule(name, before);
        match action {
            Action::Rest | Action::Serve => {}
            Action::Request => self.wish(name),
            Action::Withdraw { reason, request } => {
                self.withdraw(name, &reason);
                if request {
                    self.wish(name);
                }
            }
        }
    }

    fn withdraw(&mut self, name: &Name, reason: &str) {
        let now = (self.clock)();
        let Some(member) = self.members.get_mut(name) else { return };
        member.question += 1;
        let (svid, is_revoked) = (member.svid.take(), matches!(member.state, State::Revoked(_)));
        let domain = member.entitlement.domain.clone();
        if let Some(domain) = self.domains.get_mut(&domain) {
            domain.unlisted.remove(name);
        }
        if svid.is_some() {
            info!(workload = %name, reason, "certificate withdrawn");
        }
        self.publish(name);
        if member_left(self.members.get(name)) || is_revoked {
            self.shelf.remove_svid(&domain, name);
        }
        if let (Some(svid), true, Some(kept)) = (svid, is_revoked, self.domains.get_mut(&domain))
            && kept.revoke(&svid, now)
        {
            self.shelf.put_revoked(&domain, &kept.revoked);
            self.publish_domains(&BTreeSet::from([domain]));
        }
    }

    fn wish(&mut self, name: &Name) {
        let Some(member) = self.members.get_mut(name) else { return };
        let Some(id) = member.id().cloned() else { return };
        member.question += 1;
        let wish = Wish { workload: Arc::clone(name), id, question: member.question };
        let list = if member.looked { &mut self.wanted } else { &mut self.unseen };
        member.looked = true;
        list.entry(member.entitlement.domain.clone()).or_default().push(wish);
    }

    fn reschedule(&mut self, name: &Name, before: Option<Duration>) {
        let after = self.members.get(name).and_then(|member| member.state.due());
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.due.remove(&(before, Arc::clone(name)));
        }
        if let Some(after) = after {
            self.due.insert((after, Arc::clone(name)));
        }
    }

    fn publish(&self, name: &Name) {
        match self.members.get(name) {
            Some(member) if member.state != State::Absent => {
                self.wallet.set(name, self.stock().standing(member));
            }
            Some(_) | None => self.wallet.remove(name),
        }
    }

    fn publish_domains(&self, domains: &BTreeSet<TrustDomain>) {
        let affected = self.members.iter().filter(|(_, member)| domains.contains(&member.entitlement.domain));
        affected.for_each(|(name, _)| self.publish(name));
    }

    fn stock(&self) -> Stock<'_> {
        Stock {
            entitlements: &self.entitlements,
            trust: &self.trust,
            domains: &self.domains,
            node: self.node.as_str(),
        }
    }
}

fn member_left(member: Option<&Member>) -> bool {
    member.is_none_or(|member| member.state == State::Absent)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
