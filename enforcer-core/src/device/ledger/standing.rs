//! Findings over time: each is told once when it begins, and once when it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use enforcer_proto::v1;

use super::finding::{Key, Observation};
use crate::device::table::DeviceTable;
use crate::policy::model::UnixNanos;

/// Findings that are followed at once; more are counted, and found again when there is room.
const FOLLOWED_MAX: usize = 8_192;

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began.
    Began(Key, Observation, UnixNanos),
    /// It is over; since when it was.
    Ended(Key, Observation, UnixNanos),
}

#[derive(Clone, Debug)]
struct Followed {
    since: UnixNanos,
    latest: Observation,
    is_told: bool,
}

/// What is followed.
#[derive(Clone, Debug)]
pub struct Standing {
    patience_ns: u64,
    followed: BTreeMap<Key, Followed>,
    left_out: u64,
}

impl Standing {
    /// Nothing is followed yet. What is patient is told only after `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        let patience_ns = u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX);
        Self { patience_ns, followed: BTreeMap::new(), left_out: 0 }
    }

    /// Takes in what a look shows. A look that did not see everything ends nothing, and its silence proves nothing: of what
    /// says that nobody holds a device, nothing begins either.
    pub fn update(
        &mut self,
        seen: BTreeMap<Key, Observation>,
        is_whole: bool,
        now: UnixNanos,
    ) -> Vec<Change> {
        let mut changes = if is_whole { self.end(&seen) } else { Vec::new() };
        self.left_out = 0;
        for (key, observation) in seen {
            if key.kind.is_patient() && !is_whole {
                continue;
            }
            changes.extend(self.see(key, observation, now));
        }
        changes
    }

    fn end(&mut self, seen: &BTreeMap<Key, Observation>) -> Vec<Change> {
        let gone: Vec<Key> = self.followed.keys().filter(|key| !seen.contains_key(*key)).cloned().collect();
        let ended = gone.into_iter().filter_map(|key| {
            let followed = self.followed.remove(&key)?;
            followed.is_told.then_some(Change::Ended(key, followed.latest, followed.since))
        });
        ended.collect()
    }

    fn see(&mut self, key: Key, observation: Observation, now: UnixNanos) -> Option<Change> {
        if !self.followed.contains_key(&key) && self.followed.len() >= FOLLOWED_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        let fresh = Followed { since: now, latest: observation.clone(), is_told: false };
        let followed = self.followed.entry(key.clone()).or_insert(fresh);
        // The clock was set back: what was in the future begins now.
        followed.since = followed.since.min(now);
        followed.latest = observation;
        let is_due = !key.kind.is_patient() || now.saturating_sub(followed.since) >= self.patience_ns;
        if followed.is_told || !is_due {
            return None;
        }
        followed.is_told = true;
        Some(Change::Began(key, followed.latest.clone(), followed.since))
    }

    /// What was told and is not over, as messages.
    #[must_use]
    pub fn findings(&self, table: &DeviceTable) -> Vec<v1::Finding> {
        let told = self.followed.iter().filter(|(_, followed)| followed.is_told);
        told.map(|(key, followed)| followed.latest.message(key, followed.since, table)).collect()
    }

    /// Findings of the last look for which there was no room.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}
