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
