//! What happens to flows that are there when something changes.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::{Court, Parties, Permit};

use super::counts::Counts;
use super::flow::EndReason;
use super::ticket::nanos;
use super::{Entry, Registry, State};

/// Flows that are heard between two looks at the table: who comes meanwhile does not wait for all of them.
const HEARD_AT_ONCE: usize = 256;

impl Registry {
    /// Another court takes its seat, and hears every flow again. Tenants that its policy no longer has are forgotten.
    pub fn reauthorize(&self, court: Arc<Court>, now: Duration) {
        self.seat(&court);
        self.recheck(now);
        let is_tenant = |tenant: &Name| court.policy().tenants.contains_key(tenant);
        self.budgets.retain(is_tenant);
        self.counts().retain(|tenant, _| is_tenant(tenant));
    }

    /// Hears every flow again: after an identity was revoked, and when a court took its seat.
    pub fn recheck(&self, now: Duration) {
        let court = self.court();
        let last = self.inner().next;
        let mut heard = 0;
        while let Some(id) = self.hear(&court, heard, last, now) {
            heard = id;
        }
    }

    /// Ends what has ended by `now`: certificates and leases. Says when the next one does.
    pub fn expire(&self, now: Duration) -> Option<Duration> {
        let mut inner = self.inner();
        loop {
            let (deadline, id) = *inner.deadlines.first()?;
            if deadline > now {
                return Some(deadline);
            }
            inner.deadlines.remove(&(deadline, id));
            if let Some(entry) = inner.flows.get(&id) {
                self.cancel(&inner.court, entry, EndReason::Expired);
            }
        }
    }

    /// Ends every flow.
    pub fn end_all(&self, reason: EndReason) {
        let inner = self.inner();
        for entry in inner.flows.values() {
            self.cancel(&inner.court, entry, reason);
        }
    }

    /// Ends every flow of these workloads of this node.
    pub fn end_of(&self, is_meant: impl Fn(&Name) -> bool, reason: EndReason) {
        let inner = self.inner();
        for entry in inner.flows.values().filter(|entry| is_meant(entry.flow.parties.workload())) {
            self.cancel(&inner.court, entry, reason);
        }
    }

    pub(super) fn seat(&self, court: &Arc<Court>) {
        self.inner().court = Arc::clone(court);
    }

    pub(super) fn deadline_set(&self, is_first: bool) {
        if is_first {
            self.earlier.notify_one();
        }
    }

    /// Hears some flows, those behind `heard`; the number of the last one, `None` behind all.
    fn hear(&self, court: &Arc<Court>, heard: u64, last: u64, now: Duration) -> Option<u64> {
        let mut cases: Vec<(u64, Parties)> = Vec::new();
        let mut number = None;
        let inner = self.inner();
        for (id, entry) in inner.flows.range((Excluded(heard), Included(last))).take(HEARD_AT_ONCE) {
            number = Some(*id);
            if entry.flow.identities().any(|identity| (self.is_revoked)(identity)) {
                self.cancel(&inner.court, entry, EndReason::Revoked);
            } else if entry.state.permit().is_some() {
                // Who has none yet will ask the court in its seat.
                cases.push((*id, entry.flow.parties.clone()));
            }
        }
        drop(inner);
        for (id, parties) in cases {
            let answer = court.authorize(&parties, nanos(now));
            self.pronounce(court, id, answer.ok());
        }
        number
    }

    /// Keeps a new permit, or ends the flow.
    fn pronounce(&self, court: &Arc<Court>, id: u64, permit: Option<Permit>) {
        let mut inner = self.inner();
        let Some(permit) = permit else {
            if let Some(entry) = inner.flows.get(&id) {
                self.cancel(&inner.court, entry, EndReason::Policy);
            }
            return;
        };
        // A court that left its seat meanwhile ends flows, which it could have done before; it permits none.
        if !Arc::ptr_eq(court, &inner.court) {
            return;
        }
        let Some(entry) = inner.flows.get_mut(&id) else { return };
        match &mut entry.state {
            State::Registered => {}
            State::HalfOpen(held) | State::Carried(held) => *held = permit,
        }
        let is_first = inner.set_deadline(id);
        drop(inner);
        self.deadline_set(is_first);
    }

    /// Tells a flow to end.
    fn cancel(&self, court: &Court, entry: &Entry, reason: EndReason) {
        if entry.live.cancel(reason) {
            self.count(court, entry.flow.tenant(), |counts| counts.ended(reason));
        }
    }

    /// Counts something under a tenant's name. A tenant that the policy no longer has gets no counts any more.
    pub(super) fn count(&self, court: &Court, tenant: &Name, add: impl FnOnce(&mut Counts)) {
        let mut counts = self.counts();
        if let Some(counts) = counts.get_mut(tenant) {
            add(counts);
        } else if court.policy().tenants.contains_key(tenant) {
            add(counts.entry(Name::clone(tenant)).or_default());
        }
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, BTreeMap<Name, Counts>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
