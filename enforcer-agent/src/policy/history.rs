//! The revisions that can be asked for and gone back to. They share what did not change between them.

use std::collections::VecDeque;
use std::sync::Arc;

use enforcer_core::policy::model::Policy;

use crate::door::policy::Revision;

/// Revisions that are kept at most.
pub(super) const REVISIONS_MAX: usize = 64;
/// Objects that kept revisions may hold in memory beyond the current one, all together: a bound for
/// snapshots that replace everything.
const OBJECTS_MAX: usize = 4_000_000;

/// Kept revisions, oldest first.
#[derive(Debug)]
pub(super) struct History {
    kept: VecDeque<Kept>,
    current: Arc<Revision>,
}

#[derive(Debug)]
struct Kept {
    revision: Arc<Revision>,
    /// Objects in which it differs from the one before.
    changed: usize,
}

impl History {
    /// Before the first policy, with the number that the kernel reports.
    pub(super) fn empty(number: u64) -> Self {
        let current = Arc::new(Revision {
            number,
            time: 0,
            author: String::new(),
            source: String::new(),
            digest: None,
            policy: Arc::new(Policy::default()),
        });
        Self { kept: VecDeque::new(), current }
    }

    /// The revision in force.
    pub(super) const fn current(&self) -> &Arc<Revision> {
        &self.current
    }

    /// Every kept revision, oldest first.
    pub(super) fn kept(&self) -> Vec<Arc<Revision>> {
        self.kept.iter().map(|kept| Arc::clone(&kept.revision)).collect()
    }

    /// A kept revision by number.
    pub(super) fn find(&self, number: u64) -> Option<&Arc<Revision>> {
        self.kept.iter().map(|kept| &kept.revision).find(|revision| revision.number == number)
    }

    /// The next revision, which differs from the current one in so many objects.
    pub(super) fn push(&mut self, revision: Revision, changed: usize) {
        self.current = Arc::new(revision);
        self.kept.push_back(Kept { revision: Arc::clone(&self.current), changed });
        let mut held: usize = self.kept.iter().map(|kept| kept.changed).sum();
        while self.kept.len() > 1 && (self.kept.len() > REVISIONS_MAX || held > OBJECTS_MAX) {
            if let Some(oldest) = self.kept.pop_front() {
                held -= oldest.changed;
            }
        }
    }

    /// Replaces the current revision's digest.
    pub(super) fn set_digest(&mut self, digest: enforcer_core::policy::image::Digest) {
        let revision = Revision { digest: Some(digest), ..Revision::clone(&self.current) };
        self.current = Arc::new(revision);
        if let Some(last) = self.kept.back_mut() {
            last.revision = Arc::clone(&self.current);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(history: &mut History, number: u64, changed: usize) {
        let revision = Revision { number, ..Revision::clone(history.current()) };
        history.push(revision, changed);
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut history = History::empty(0);
        for number in 1..=70 {
            push(&mut history, number, 1);
        }
        assert_eq!(history.kept().len(), REVISIONS_MAX);
        assert!(history.find(6).is_none() && history.find(7).is_some());
        assert_eq!(history.current().number, 70);
    }

    #[test]
    fn large_revisions_go_sooner_and_the_current_one_never() {
        let mut history = History::empty(0);
        push(&mut history, 1, 3_000_000);
        push(&mut history, 2, 3_000_000);
        assert!(history.find(1).is_none());
        push(&mut history, 3, 5_000_000);
        assert_eq!(history.kept().len(), 1);
        assert_eq!(history.current().number, 3);
    }
}
