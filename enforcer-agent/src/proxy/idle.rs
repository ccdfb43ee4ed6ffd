//! Native connections that wait for the next flow of the very pair that made them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::policy::model::Name;
use tokio::time::Instant;

use super::budget::Place;
use super::tls::{Configs, Facts, Secured};

/// Connections that wait for one pair.
const WAITING_MAX: usize = 64;

/// A workload here, and where the other end's listener is. Whose certificate it showed was checked when the
/// connection was made, and is again for each flow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) workload: Name,
    /// Cookie of the network that the workload is in: it may come again under its old name.
    pub(super) network: u64,
    pub(super) to: SocketAddr,
}

struct Waiting {
    secured: Secured,
    /// With which certificate of ours it was made: a new one makes new connections.
    configs: Arc<Configs>,
    since: Instant,
    _counted: Place,
}

/// All of them.
pub(super) struct Idle {
    patience: Duration,
    waiting: Mutex<HashMap<Pair, Vec<Waiting>>>,
}

impl Idle {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, waiting: Mutex::default() }
    }

    /// One that can take a flow now: the one that came last, whose path is the warmest.
    pub(super) fn take(&self, pair: &Pair, configs: &Arc<Configs>, now: Duration) -> Option<Secured> {
        let mut all = self.waiting();
        let waiting = all.get_mut(pair)?;
        while let Some(mut one) = waiting.pop() {
            let is_fit = Arc::ptr_eq(&one.configs, configs)
                && one.since.elapsed() < self.patience
                && now < one.secured.facts().until
                && one.secured.is_quiet();
            if is_fit {
                return Some(one.secured);
            }
        }
        all.remove(pair);
        None
    }

    /// Keeps one whose flow has ended cleanly.
    pub(super) fn put(&self, pair: Pair, secured: Secured, configs: Arc<Configs>, counted: Place) {
        let mut all = self.waiting();
        let waiting = all.entry(pair).or_default();
        if waiting.len() < WAITING_MAX {
            waiting.push(Waiting { secured, configs, since: Instant::now(), _counted: counted });
        }
    }

    /// Closes what has waited too long, or may carry nothing more.
    pub(super) fn sweep(&self, now: Duration) {
        self.waiting().retain(|_, waiting| {
            waiting.retain_mut(|one| {
                one.since.elapsed() < self.patience
                    && now < one.secured.facts().until
                    && one.secured.is_quiet()
            });
            !waiting.is_empty()
        });
    }

    /// Closes those that are not to be kept.
    pub(super) fn retain(&self, is_kept: impl Fn(&Pair, &Facts) -> bool) {
        self.waiting().retain(|pair, waiting| {
            waiting.retain(|one| is_kept(pair, one.secured.facts()));
            !waiting.is_empty()
        });
    }

    /// Closes all.
    pub(super) fn clear(&self) {
        self.waiting().clear();
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Pair, Vec<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::TunnelLimits;
    use crate::proxy::budget::Budgets;
    use crate::proxy::tls::tests::{NATIVE_ONLY, Pair as Ends, now};

    fn pair(workload: &str, network: u64) -> Pair {
        Pair { workload: workload.into(), network, to: ([10, 0, 0, 1], 15008).into() }
    }

    #[tokio::test]
    async fn a_connection_waits_for_its_own_pair_and_is_closed_with_its_identities() {
        let ends = Ends::new(NATIVE_ONLY);
        let limits = TunnelLimits { connections: 9, handshakes_per_second: 9, buffered_bytes: 9 };
        let share = Budgets::new(limits).share(&"red".into());
        let idle = Idle::new(Duration::from_secs(60));
        let (mut kept, mut far) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (near, peer) = ends.met().await;
            kept.push(near);
            far.push(peer);
        }
        let configs = Arc::new(ends.client);
        for near in kept {
            idle.put(pair("web", 7), near, Arc::clone(&configs), share.idle().unwrap());
        }
        for other in [pair("web", 8), pair("db", 7)] {
            assert!(idle.take(&other, &configs, now()).is_none());
        }
        let taken = idle.take(&pair("web", 7), &configs, now()).unwrap();
        let until = taken.facts().until;
        assert_eq!(share.now().idle, 1);
        idle.retain(|_, facts| facts.peer.id != taken.facts().peer.id);
        assert_eq!(share.now().idle, 0);

        idle.put(pair("web", 7), taken, Arc::clone(&configs), share.idle().unwrap());
        assert!(idle.take(&pair("web", 7), &configs, until).is_none());
        assert_eq!(share.now().idle, 0);
    }
}
