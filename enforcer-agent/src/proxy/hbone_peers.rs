//! Who speaks HBONE: learned from the protocol that the other end chose, and forgotten when it chooses another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::idle::Pair;
use super::tls::Facts;

/// Pairs that are remembered; when there are more, all are learned anew.
const KNOWN_MAX: usize = 65_536;

/// What was learned of each pair: the facts of its latest connection.
#[derive(Debug, Default)]
pub(super) struct HbonePeers(Mutex<HashMap<Pair, Option<Arc<Facts>>>>);

impl HbonePeers {
    pub(super) fn knows(&self, pair: &Pair) -> bool {
        self.known().contains_key(pair)
    }

    pub(super) fn learn(&self, pair: &Pair) {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.entry(pair.clone()).or_default();
    }

    pub(super) fn met(&self, pair: &Pair, facts: &Arc<Facts>) {
        self.learn(pair);
        self.known().insert(pair.clone(), Some(Arc::clone(facts)));
    }

    pub(super) fn facts(&self, pair: &Pair) -> Option<Arc<Facts>> {
        self.known().get(pair).cloned().flatten()
    }

    pub(super) fn forget(&self, pair: &Pair) {
        self.known().remove(pair);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Pair, Option<Arc<Facts>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
