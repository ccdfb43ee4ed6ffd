//! A flow's own handle: it asks for its permit here, and hears here that it must end.

use std::sync::Arc;
use std::time::Duration;

use enforcer_common::reason;
use enforcer_core::policy::model::UnixNanos;
use enforcer_core::proxy::authorize::{Court, Parties, Permit, Refusal};
use enforcer_proto::v1;

use super::flow::{EndReason, Flow, Live, Met};
use super::{Registry, State, listing};
use crate::proxy::native::Traffic;

/// A registered flow. Dropped, it is no longer one.
#[derive(Debug)]
pub struct Ticket {
    registry: Arc<Registry>,
    id: u64,
    live: Arc<Live>,
}

impl Ticket {
    pub(super) const fn new(registry: Arc<Registry>, id: u64, live: Arc<Live>) -> Self {
        Self { registry, id, live }
    }

    /// Its number, unique while the agent runs.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Asks the court for a permit. What it says holds from here on: [`Self::cancelled`] tells when it does no more.
    ///
    /// # Errors
    /// The flow may not go through, or one of its identities was revoked.
    pub fn authorize(&self, now: Duration) -> Result<Permit, Refusal> {
        self.not_revoked()?;
        loop {
            let (court, parties) = self.case();
            let answer = court.authorize(&parties, nanos(now));
            if let Some(answer) = self.settle(&court, answer) {
                return answer;
            }
        }
    }

    /// The other end has shown who it is. The flow is judged again, with that.
    ///
    /// # Errors
    /// The flow may not go through, or one of its identities was revoked.
    pub fn met(&self, met: Met, now: Duration) -> Result<Permit, Refusal> {
        let mut inner = self.registry.inner();
        let mut is_first = false;
        if let Some(entry) = inner.flows.get_mut(&self.id) {
            match &mut entry.flow.parties {
                Parties::Outbound(outbound) => outbound.peer = Some(Arc::clone(&met.tenant)),
                Parties::Inbound(inbound) => inbound.peer = Arc::clone(&met.tenant),
            }
            entry.flow.met = Some(met);
            is_first = inner.set_deadline(self.id);
        }
        drop(inner);
        self.registry.deadline_set(is_first);
        self.authorize(now)
    }

    /// The other end has taken the flow: bytes may go. It changes nothing for a flow that has no permit.
    pub fn carried(&self) {
        let mut inner = self.registry.inner();
        let court = Arc::clone(&inner.court);
        let Some(entry) = inner.flows.get_mut(&self.id) else { return };
        entry.state = match std::mem::replace(&mut entry.state, State::Registered) {
            State::HalfOpen(permit) => {
                self.registry.count(&court, entry.flow.tenant(), |counts| counts.opened(&entry.flow));
                State::Carried(permit)
            }
            state @ (State::Registered | State::Carried(_)) => state,
        };
    }

    /// Waits until the flow must end, and why.
    pub async fn cancelled(&self) -> EndReason {
        let mut end = self.live.end.subscribe();
        let told = end.wait_for(Option::is_some).await;
        // The sender lives as long as this does.
        told.ok().and_then(|reason| *reason).unwrap_or(EndReason::Shutdown)
    }

    /// Why the flow must end, if it must.
    #[must_use]
    pub fn end(&self) -> Option<EndReason> {
        *self.live.end.borrow()
    }

    /// What it has carried: counted where it is carried, and seen in listings meanwhile.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.live.traffic
    }

    /// The flow as listings show it; records are made from the same.
    #[must_use]
    pub fn describe(&self) -> v1::Tunnel {
        let inner = self.registry.inner();
        inner
            .flows
            .get(&self.id)
            .map(|entry| listing::tunnel(self.id, entry, &inner.court))
            .unwrap_or_default()
    }

    pub(super) fn of_flow<T>(&self, ask: impl FnOnce(&Flow) -> T) -> Option<T> {
        self.registry.inner().flows.get(&self.id).map(|entry| ask(&entry.flow))
    }

    /// Who judges, and what.
    pub(super) fn case(&self) -> (Arc<Court>, Parties) {
        let inner = self.registry.inner();
        match inner.flows.get(&self.id) {
            Some(entry) => (Arc::clone(&inner.court), entry.flow.parties.clone()),
            None => unreachable!("only the end of its ticket takes a flow out of the table"),
        }
    }

    /// Asked after the flow was registered: who is revoked later finds it in the table.
    pub(super) fn not_revoked(&self) -> Result<(), Refusal> {
        let inner = self.registry.inner();
        let Some(entry) = inner.flows.get(&self.id) else { return Ok(()) };
        match entry.flow.identities().find(|id| (self.registry.is_revoked)(id)) {
            None => Ok(()),
            Some(id) => Err(Refusal {
                reason: reason::TUNNEL_CERTIFICATE,
                rule: None,
                detail: format!("{id} is revoked"),
            }),
        }
    }

    /// Keeps a court's answer, if that court is still in its seat. Both happen under one lock, so a court that takes
    /// its seat later finds the permit in the table.
    pub(super) fn settle(
        &self,
        court: &Arc<Court>,
        answer: Result<Permit, Refusal>,
    ) -> Option<Result<Permit, Refusal>> {
        let mut inner = self.registry.inner();
        if !Arc::ptr_eq(court, &inner.court) {
            return None;
        }
        let mut is_first = false;
        if let (Ok(permit), Some(entry)) = (&answer, inner.flows.get_mut(&self.id)) {
            entry.state = match entry.state {
                State::Registered | State::HalfOpen(_) => State::HalfOpen(permit.clone()),
                State::Carried(_) => State::Carried(permit.clone()),
            };
            is_first = inner.set_deadline(self.id);
        }
        drop(inner);
        self.registry.deadline_set(is_first);
        Some(answer)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.registry.inner();
        if let Some(entry) = inner.forget(self.id) {
            // Under the lock of the table: a flow's bytes are in one sum or in the other.
            self.registry
                .count(&inner.court, entry.flow.tenant(), |counts| counts.add_bytes(entry.live.bytes()));
        }
        if inner.flows.is_empty() {
            self.registry.empty.notify_waiters();
        }
    }
}

pub(super) fn nanos(time: Duration) -> UnixNanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
