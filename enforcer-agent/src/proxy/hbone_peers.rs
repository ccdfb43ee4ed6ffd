//! Who speaks HBONE: learned from the protocol that the other end chose, and forgotten when it chooses another.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::idle::Pair;

/// Pairs that are remembered; when there are more, all are learned anew.
const KNOWN_MAX: usize = 65_536;

/// Pairs whose latest connection spoke it.
#[derive(Debug, Default)]
pub(super) struct HbonePeers(Mutex<HashSet<Pair>>);

impl HbonePeers {
    pub(super) fn knows(&self, pair: &Pair) -> bool {
        self.known().contains(pair)
    }

    pub(super) fn learn(&self, pair: &Pair) {
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(pair.clone());
    }

    pub(super) fn forget(&self, pair: &Pair) {
        self.known().remove(pair);
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Pair>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
