//! One event of one workload, and everything that follows from it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::lifecycle::{Action, Event, State, step};
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use tracing::info;

use super::domain::RevokedSerial;
use super::material::Stock;
use super::member::Member;
use super::run::Keeper;
use super::task::Wish;
use crate::hex::hex;
use crate::identity::clock::die;
use crate::identity::told::Told;

impl Keeper {
    /// Lets something happen to a workload, and does what follows.
    pub(super) fn apply(&mut self, name: &Name, event: Event) {
        match self.step(name, event) {
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

    /// The next state of a workload, and what is to be done: that is left to the caller.
    pub(super) fn step(&mut self, name: &Name, event: Event) -> Action {
        let now = (self.clock)();
        let Some(member) = self.members.get_mut(name) else { return Action::Rest };
        let before = member.state.due();
        let (state, action) = step(std::mem::replace(&mut member.state, State::Absent), event, now, die());
        member.state = state;
        self.reschedule(name, before);
        action
    }

    fn withdraw(&mut self, name: &Name, reason: &str) {
        let Some(member) = self.members.get_mut(name) else { return };
        member.question = 0;
        let (svid, is_revoked) = (member.svid.take(), matches!(member.state, State::Revoked(_)));
        let (domain, tenant) = (member.entitlement.domain.clone(), Arc::clone(&member.entitlement.tenant));
        let earlier = std::mem::take(&mut member.earlier);
        if let Some(domain) = self.domains.get_mut(&domain) {
            domain.unlisted.remove(name);
        }
        if svid.is_some() {
            info!(workload = %name, reason, "certificate withdrawn");
        }
        if let Some(svid) = &svid {
            let told = Told {
                event: if is_revoked { "revoked" } else { "withdrawn" },
                tenant: &tenant,
                workload: name,
                id: svid.id.to_string(),
                serial: hex(&svid.serial),
                message: reason,
                ..Told::default()
            };
            (self.tell)(told.record());
        }
        self.publish(name);
        if member_left(self.members.get(name)) || is_revoked {
            self.chores.remove_svid(&domain, name);
        }
        if is_revoked {
            let last = svid.as_deref().and_then(RevokedSerial::of);
            self.struck.entry(domain).or_default().extend(earlier.into_iter().chain(last));
        }
    }

    /// Lists what was revoked, once for everything that was revoked together.
    pub(super) fn list_struck(&mut self) {
        if self.struck.is_empty() {
            return;
        }
        let now = (self.clock)();
        let mut changed = BTreeSet::new();
        for (name, entries) in std::mem::take(&mut self.struck) {
            let Some(domain) = self.domains.get_mut(&name) else { continue };
            if domain.revoke(entries, now) {
                self.chores.put_revoked(&name, &domain.revoked);
                changed.insert(name);
            }
        }
        self.publish_to_all_who_meet(&changed);
    }

    fn wish(&mut self, name: &Name) {
        let Some(member) = self.members.get_mut(name) else { return };
        let Some(id) = member.id().cloned() else { return };
        self.questions += 1;
        member.question = self.questions;
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

    pub(super) fn publish(&self, name: &Name) {
        match self.members.get(name) {
            Some(member) if member.state != State::Absent => {
                self.wallet.set(name, self.stock().standing(member));
            }
            Some(_) | None => self.wallet.remove(name),
        }
    }

    /// Also to the trust domains that are federated with one of these.
    pub(super) fn publish_to_all_who_meet(&self, domains: &BTreeSet<TrustDomain>) {
        if domains.is_empty() {
            return;
        }
        let meets = |domain: &TrustDomain| {
            let others = self.entitlements.domains.get(domain).map(|domain| &domain.federates_with);
            domains.contains(domain) || others.is_some_and(|others| !others.is_disjoint(domains))
        };
        let affected = self.domains.keys().filter(|domain| meets(domain)).cloned().collect();
        self.publish_domains(&affected);
    }

    pub(super) fn publish_domains(&self, domains: &BTreeSet<TrustDomain>) {
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
