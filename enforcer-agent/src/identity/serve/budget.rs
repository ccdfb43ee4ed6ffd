//! What each tenant and workload holds of the bounds, so that one that takes everything it may leaves the others
//! all of theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::bucket::{Bucket, Rate};
use enforcer_core::policy::model::Name;
use tokio::time::Instant;

use super::limits::{STRANGERS_REQUESTS_BURST, STRANGERS_REQUESTS_PER_SECOND, ServeLimits};
use crate::identity::svid::Member;

/// A bound that was met. Its words are for the caller, whose own bound it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Over {
    #[error("too many connections on this node")]
    NodeConnections,
    #[error("too many connections of this tenant")]
    TenantConnections,
    #[error("too many connections of this workload")]
    WorkloadConnections,
    #[error("too many streams of this tenant")]
    TenantStreams,
    #[error("too many streams of this workload")]
    WorkloadStreams,
    #[error("too many requests of this tenant")]
    TenantRequests,
    #[error("too many requests")]
    StrangersRequests,
}

/// Who holds how much.
#[derive(Debug)]
pub(super) struct Budget {
    limits: ServeLimits,
    rate: Rate,
    strangers_rate: Rate,
    start: Instant,
    accounts: Mutex<Accounts>,
}

#[derive(Debug, Default)]
struct Accounts {
    /// Connections beyond those that are kept for each tenant.
    shared: usize,
    strangers: Bucket,
    tenants: BTreeMap<Name, Account>,
}

#[derive(Debug, Default)]
struct Account {
    held: Held,
    requests: Bucket,
    workloads: BTreeMap<Name, Held>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    connections: usize,
    streams: usize,
}

/// A connection or a stream that counts for as long as this is kept.
#[derive(Debug)]
pub(super) struct Place {
    budget: Arc<Budget>,
    member: Member,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    KeptConnection,
    SharedConnection,
    Stream,
}

impl Budget {
    pub(super) fn new(limits: ServeLimits) -> Arc<Self> {
        Arc::new(Self {
            rate: Rate::new(limits.requests_per_second, limits.requests_burst),
            strangers_rate: Rate::new(STRANGERS_REQUESTS_PER_SECOND, STRANGERS_REQUESTS_BURST),
            limits,
            start: Instant::now(),
            accounts: Mutex::default(),
        })
    }

    pub(super) const fn limits(&self) -> &ServeLimits {
        &self.limits
    }

    /// A place for a connection of this workload.
    pub(super) fn connection(self: &Arc<Self>, member: &Member) -> Result<Place, Over> {
        let mut accounts = self.accounts();
        let shared = accounts.shared;
        let account = accounts.account(member, self.now());
        let workload = account.workloads.get(&member.workload).copied().unwrap_or_default();
        if workload.connections >= self.limits.connections_per_workload {
            return Err(Over::WorkloadConnections);
        }
        if account.held.connections >= self.limits.connections_per_tenant {
            return Err(Over::TenantConnections);
        }
        let is_kept = account.held.connections < self.limits.connections_kept_for_tenant;
        if !is_kept && shared >= self.limits.connections {
            return Err(Over::NodeConnections);
        }
        let kind = if is_kept { Kind::KeptConnection } else { Kind::SharedConnection };
        Ok(self.place(&mut accounts, member, kind))
    }

    /// A place for a stream of this workload.
    pub(super) fn stream(self: &Arc<Self>, member: &Member) -> Result<Place, Over> {
        let mut accounts = self.accounts();
        let account = accounts.account(member, self.now());
        let workload = account.workloads.get(&member.workload).copied().unwrap_or_default();
        if workload.streams >= self.limits.streams_per_workload {
            return Err(Over::WorkloadStreams);
        }
        if account.held.streams >= self.limits.streams_per_tenant {
            return Err(Over::TenantStreams);
        }
        Ok(self.place(&mut accounts, member, Kind::Stream))
    }

    /// Counts a request of this tenant.
    pub(super) fn request(&self, member: &Member) -> Result<(), Over> {
        let now = self.now();
        let is_there = self.accounts().account(member, now).requests.take(now, self.rate);
        if is_there { Ok(()) } else { Err(Over::TenantRequests) }
    }

    /// Counts a request of somebody who is no workload's.
    pub(super) fn strangers_request(&self) -> Result<(), Over> {
        let is_there = self.accounts().strangers.take(self.now(), self.strangers_rate);
        if is_there { Ok(()) } else { Err(Over::StrangersRequests) }
    }

    fn place(self: &Arc<Self>, accounts: &mut Accounts, member: &Member, kind: Kind) -> Place {
        accounts.shared += usize::from(kind == Kind::SharedConnection);
        let account = accounts.account(member, self.now());
        let workload = account.workloads.entry(Arc::clone(&member.workload)).or_default();
        for held in [&mut account.held, workload] {
            *held.of(kind) += 1;
        }
        Place { budget: Arc::clone(self), member: member.clone(), kind }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Accounts {
    /// A tenant's account. Accounts that say nothing go when a tenant comes, so there are never many more than
    /// the policy has tenants.
    fn account(&mut self, member: &Member, now: Duration) -> &mut Account {
        if !self.tenants.contains_key(&member.tenant) {
            self.tenants
                .retain(|_, account| account.held != Held::default() || !account.requests.is_full(now));
        }
        self.tenants.entry(Arc::clone(&member.tenant)).or_default()
    }
}

impl Held {
    const fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::KeptConnection | Kind::SharedConnection => &mut self.connections,
            Kind::Stream => &mut self.streams,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut accounts = self.budget.accounts();
        accounts.shared -= usize::from(self.kind == Kind::SharedConnection);
        // A tenant that holds something has its account.
        let Some(account) = accounts.tenants.get_mut(&self.member.tenant) else { return };
        *account.held.of(self.kind) -= 1;
        let Some(workload) = account.workloads.get_mut(&self.member.workload) else { return };
        *workload.of(self.kind) -= 1;
        if *workload == Held::default() {
            account.workloads.remove(&self.member.workload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(workload: &str, tenant: &str) -> Member {
        Member { workload: workload.into(), tenant: tenant.into() }
    }

    fn budget() -> Arc<Budget> {
        Budget::new(ServeLimits {
            connections: 2,
            connections_kept_for_tenant: 1,
            connections_per_tenant: 4,
            connections_per_workload: 2,
            streams_per_tenant: 3,
            streams_per_workload: 2,
            requests_per_second: 1,
            requests_burst: 2,
            ..ServeLimits::default()
        })
    }

    #[tokio::test]
    async fn a_tenant_that_takes_all_connections_leaves_every_other_some() {
        let budget = budget();
        let (a, b) = (member("a", "red"), member("b", "red"));
        let first = [budget.connection(&a).unwrap(), budget.connection(&a).unwrap()];
        assert_eq!(budget.connection(&a).unwrap_err(), Over::WorkloadConnections);
        let _second = budget.connection(&b).unwrap();
        assert_eq!(budget.connection(&b).unwrap_err(), Over::NodeConnections);
        let _blue = budget.connection(&member("c", "blue")).unwrap();
        assert_eq!(budget.connection(&member("c", "blue")).unwrap_err(), Over::NodeConnections);
        drop(first);
        let _again = budget.connection(&a).unwrap();
    }

    #[tokio::test]
    async fn streams_are_bounded_for_a_workload_and_for_its_tenant() {
        let budget = budget();
        let (a, b) = (member("a", "red"), member("b", "red"));
        let held = [budget.stream(&a).unwrap(), budget.stream(&a).unwrap()];
        assert_eq!(budget.stream(&a).unwrap_err(), Over::WorkloadStreams);
        let _one = budget.stream(&b).unwrap();
        assert_eq!(budget.stream(&b).unwrap_err(), Over::TenantStreams);
        let _blue = budget.stream(&member("c", "blue")).unwrap();
        drop(held);
        let _again = budget.stream(&b).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn requests_come_back_with_time_and_not_by_coming_back() {
        let budget = budget();
        let red = member("a", "red");
        assert_eq!([0; 3].map(|_| budget.request(&red).is_ok()), [true, true, false]);
        budget.request(&member("c", "blue")).unwrap();
        assert_eq!(budget.request(&red), Err(Over::TenantRequests), "its account was kept");
        tokio::time::advance(Duration::from_secs(10)).await;
        budget.request(&member("d", "green")).unwrap();
        assert_eq!(budget.accounts().tenants.len(), 1, "accounts that say nothing are gone");
        budget.request(&red).unwrap();
    }
}
