//! Following what others decide: the policy and what is on the node, bundles and revocations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enforcer_core::identity::entitle::Entitlement;
use enforcer_core::identity::lifecycle::{Event, State};
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;

use super::domain::{Domain, is_anchored};
use super::member::Member;
use super::run::Keeper;
use super::trust;

impl Keeper {
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

    fn local(&self) -> impl Iterator<Item = (&Name, &Entitlement)> {
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
                self.chores.remove_svid(&member.entitlement.domain, &name);
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
        self.domains.insert(name.clone(), Domain::new());
        self.look_on_shelf(name);
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
        self.publish_to_all_who_meet(&changed);
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
                svid.is_some_and(|svid| !is_anchored(&svid.chain, bundle))
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
}
