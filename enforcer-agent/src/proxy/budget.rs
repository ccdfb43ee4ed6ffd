//! What each tenant uses of what it may use, so that one that takes everything it may leaves the others all of
//! theirs. Tenants share nothing but the lock that finds them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::bucket::{Bucket, Rate};
use enforcer_core::policy::model::Name;
use tokio::time::Instant;

use crate::config::settings::TunnelLimits;

/// A bound that was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Over {
    /// Flows at once.
    #[error("the tenant has all the tunnelled flows that it may have")]
    Connections,
    /// Handshakes a second.
    #[error("the tenant has begun all the TLS handshakes that it may begin for now")]
    Handshakes,
    /// Bytes in buffers.
    #[error("the tenant's flows have all the buffers that they may have")]
    Buffers,
}

impl Over {
    /// Every bound.
    pub const ALL: [Self; 3] = [Self::Connections, Self::Handshakes, Self::Buffers];

    /// The word for listings and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Handshakes => "handshakes",
            Self::Buffers => "buffers",
        }
    }
}

/// Every tenant's share.
#[derive(Debug)]
pub struct Budgets {
    limits: TunnelLimits,
    start: Instant,
    shares: Mutex<BTreeMap<Name, Arc<Share>>>,
}

/// What one tenant uses.
#[derive(Debug)]
pub struct Share {
    limits: TunnelLimits,
    rate: Rate,
    start: Instant,
    connections: AtomicU64,
    idle: AtomicU64,
    shaking: AtomicU64,
    buffered_bytes: AtomicU64,
    handshakes: Mutex<Bucket>,
    refused: [AtomicU64; Over::ALL.len()],
}

/// What one tenant uses, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Flows.
    pub connections: u64,
    /// Connections that wait for the next flow.
    pub idle: u64,
    /// Bytes in buffers.
    pub buffered_bytes: u64,
    /// How often each of [`Over::ALL`] was met.
    pub refused: [u64; Over::ALL.len()],
}

impl Budgets {
    /// With these bounds for every tenant.
    #[must_use]
    pub fn new(limits: TunnelLimits) -> Self {
        Self { limits, start: Instant::now(), shares: Mutex::default() }
    }

    /// The bounds.
    #[must_use]
    pub const fn limits(&self) -> &TunnelLimits {
        &self.limits
    }

    /// A tenant's share. Only ask for tenants of the policy.
    #[must_use]
    pub fn share(&self, tenant: &Name) -> Arc<Share> {
        let mut shares = self.shares();
        if let Some(share) = shares.get(tenant) {
            return Arc::clone(share);
        }
        let share = Arc::new(Share::new(self.limits, self.start));
        shares.insert(Name::clone(tenant), Arc::clone(&share));
        share
    }

    /// Forgets tenants that the policy no longer has. What they still hold is counted until it is given back, and
    /// seen by nobody.
    pub fn retain(&self, is_tenant: impl Fn(&Name) -> bool) {
        self.shares().retain(|tenant, _| is_tenant(tenant));
    }

    /// What every tenant uses now.
    #[must_use]
    pub fn list(&self) -> BTreeMap<Name, Use> {
        self.shares().iter().map(|(tenant, share)| (Name::clone(tenant), share.now())).collect()
    }

    fn shares(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Share>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    fn new(limits: TunnelLimits, start: Instant) -> Self {
        Self {
            limits,
            // A second's worth at a stroke: restarted workloads come all at once.
            rate: Rate::new(limits.handshakes_per_second, limits.handshakes_per_second),
            start,
            connections: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            shaking: AtomicU64::new(0),
            buffered_bytes: AtomicU64::new(0),
            handshakes: Mutex::default(),
            refused: Default::default(),
        }
    }

    /// A place for a flow.
    ///
    /// # Errors
    /// There is none.
    pub fn connection(self: &Arc<Self>) -> Result<Place, Over> {
        if !raise(&self.connections, 1, self.limits.connections) {
            return Err(self.refuse(Over::Connections));
        }
        Ok(Place { share: Arc::clone(self), counted: Counted::Connection })
    }

    /// Counts a connection that waits for the next flow of its pair, for as long as the guard is kept. There may be as
    /// many as flows; `None` when it should be closed instead.
    #[must_use]
    pub fn idle(self: &Arc<Self>) -> Option<Place> {
        let is_counted = raise(&self.idle, 1, self.limits.connections);
        is_counted.then(|| Place { share: Arc::clone(self), counted: Counted::Idle })
    }

    /// Counts a handshake that is about to begin.
    ///
    /// # Errors
    /// It must not.
    pub fn handshake(&self) -> Result<(), Over> {
        let now = self.start.elapsed();
        if self.take_handshake(now) { Ok(()) } else { Err(self.refuse(Over::Handshakes)) }
    }

    /// Counts a handshake that somebody else has begun, for as long as the guard is kept: no more go on at once than may
    /// begin in a second, so that whoever is slow with many does not take all the buffers.
    ///
    /// # Errors
    /// It must not go on.
    pub fn shaking(self: &Arc<Self>) -> Result<Place, Over> {
        if !raise(&self.shaking, 1, self.limits.handshakes_per_second.into()) {
            return Err(self.refuse(Over::Handshakes));
        }
        Ok(Place { share: Arc::clone(self), counted: Counted::Shaking })
    }

    /// A purse for the buffers of one flow.
    #[must_use]
    pub fn purse(self: &Arc<Self>) -> Purse {
        Purse { share: Arc::clone(self), held: AtomicU64::new(0) }
    }

    /// What is used now.
    #[must_use]
    pub fn now(&self) -> Use {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Use {
            connections: read(&self.connections),
            idle: read(&self.idle),
            buffered_bytes: read(&self.buffered_bytes),
            refused: self.refused.each_ref().map(read),
        }
    }

    fn take_handshake(&self, now: Duration) -> bool {
        self.handshakes.lock().unwrap_or_else(PoisonError::into_inner).take(now, self.rate)
    }

    fn refuse(&self, over: Over) -> Over {
        let counted = Over::ALL.iter().zip(&self.refused).find(|(known, _)| **known == over);
        if let Some((_, count)) = counted {
            count.fetch_add(1, Ordering::Relaxed);
        }
        over
    }
}

/// Raises a count, unless it would pass the bound.
fn raise(count: &AtomicU64, by: u64, bound: u64) -> bool {
    let raised = |now: u64| now.checked_add(by).filter(|sum| *sum <= bound);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).is_ok()
}

/// Something that counts for as long as this is kept.
#[derive(Debug)]
pub struct Place {
    share: Arc<Share>,
    counted: Counted,
}

#[derive(Clone, Copy, Debug)]
enum Counted {
    Connection,
    Idle,
    Shaking,
}

impl Drop for Place {
    fn drop(&mut self) {
        let count = match self.counted {
            Counted::Connection => &self.share.connections,
            Counted::Idle => &self.share.idle,
            Counted::Shaking => &self.share.shaking,
        };
        count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the buffers of one flow take of their tenant's share. Dropped, it gives everything back.
#[derive(Debug)]
pub struct Purse {
    share: Arc<Share>,
    held: AtomicU64,
}

impl Purse {
    /// Takes so many bytes; false, and nothing taken, when they are not there.
    #[must_use]
    pub fn take(&self, bytes: usize) -> bool {
        let bytes = count(bytes);
        let is_there = raise(&self.share.buffered_bytes, bytes, self.share.limits.buffered_bytes);
        if is_there {
            self.held.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.share.refuse(Over::Buffers);
        }
        is_there
    }

    /// Gives back so many of what was taken; never more than that.
    pub fn give(&self, bytes: usize) {
        let asked = count(bytes);
        let lowered = |held: u64| Some(held.saturating_sub(asked));
        let held = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered).unwrap_or(0);
        self.share.buffered_bytes.fetch_sub(held.min(asked), Ordering::Relaxed);
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.share.buffered_bytes.fetch_sub(*self.held.get_mut(), Ordering::Relaxed);
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budgets() -> Budgets {
        Budgets::new(TunnelLimits { connections: 2, handshakes_per_second: 10, buffered_bytes: 100 })
    }

    #[tokio::test]
    async fn a_tenant_that_takes_everything_leaves_the_others_theirs() {
        let budgets = budgets();
        let (red, blue) = (budgets.share(&"red".into()), budgets.share(&"blue".into()));
        let held = [red.connection().unwrap(), red.connection().unwrap()];
        assert_eq!(red.connection().unwrap_err(), Over::Connections);
        let _blue = blue.connection().unwrap();
        drop(held);
        let again = budgets.share(&"red".into());
        let _again = [again.connection().unwrap(), again.connection().unwrap()];
        assert_eq!(budgets.list()["red"], Use { connections: 2, refused: [1, 0, 0], ..Use::default() });
        assert_eq!(budgets.list()["blue"], Use { connections: 1, ..Use::default() });
    }

    #[tokio::test(start_paused = true)]
    async fn handshakes_come_back_with_time() {
        let red = budgets().share(&"red".into());
        assert_eq!((0..50).filter(|_| red.handshake().is_ok()).count(), 10);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!((0..50).filter(|_| red.handshake().is_ok()).count(), 2);
        assert_eq!(red.now().refused, [0, 88, 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_handshakes_of_others_are_bounded_and_end() {
        let red = budgets().share(&"red".into());
        let slow: Vec<_> = (0..50).filter_map(|_| red.shaking().ok()).collect();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!((slow.len(), red.shaking().err()), (10, Some(Over::Handshakes)));
        drop(slow);
        assert!(red.shaking().is_ok());
    }

    #[tokio::test]
    async fn a_purse_gives_back_what_it_took_and_no_more() {
        let red = budgets().share(&"red".into());
        let (one, two) = (red.purse(), red.purse());
        assert!(one.take(60) && two.take(40) && !two.take(1));
        one.give(1000);
        assert_eq!(red.now().buffered_bytes, 40);
        assert!(one.take(60));
        drop(two);
        assert_eq!(red.now().buffered_bytes, 60);
        drop(one);
        assert_eq!(red.now(), Use { refused: [0, 0, 1], ..Use::default() });
    }

    #[tokio::test]
    async fn a_tenant_that_went_is_forgotten_and_its_last_flow_does_no_harm() {
        let budgets = budgets();
        let (place, _blue) =
            (budgets.share(&"red".into()).connection().unwrap(), budgets.share(&"blue".into()));
        let idle = [(); 3].map(|()| budgets.share(&"red".into()).idle());
        assert_eq!(idle.iter().flatten().count(), 2);
        assert_eq!(budgets.list()["red"].idle, 2);
        budgets.retain(|tenant| &**tenant == "blue");
        assert_eq!(budgets.list().len(), 1);
        assert_eq!(budgets.share(&"red".into()).now(), Use::default());
        drop((place, idle));
        assert_eq!(budgets.share(&"red".into()).now(), Use::default());
    }

    #[test]
    fn many_threads_never_pass_the_bound() {
        let red = Arc::new(Share::new(
            TunnelLimits { connections: 8, handshakes_per_second: 1, buffered_bytes: 64 },
            Instant::now(),
        ));
        let work = || {
            for _ in 0..2_000 {
                let place = red.connection();
                let purse = red.purse();
                let took = purse.take(16);
                let now = red.now();
                assert!(now.connections <= 8 && now.buffered_bytes <= 64, "{now:?}");
                drop((place, took, purse));
            }
        };
        std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
        let Use { connections, buffered_bytes, .. } = red.now();
        assert_eq!((connections, buffered_bytes), (0, 0));
    }
}
