//! Which of an authority's keys signs, and which are published: pure, the time is an argument. A new key is
//! published first, signs once everybody can know it (F-9), and stays published until what it signed has ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Keys of one kind at once. The oldest retired one goes when a new one must come.
pub(super) const KEYS_MAX: usize = 16;
/// Keys beyond which nobody may ask for another: there is always room for those that must come.
pub(super) const KEYS_ASKED_MAX: usize = 8;
/// How long a key is kept, unpublished, after it was of use: clocks step back, too.
const KEPT_AFTER_SECONDS: u64 = 48 * 3600;
/// How far a clock may step back without harm to what was signed before.
const STEP_SECONDS: u64 = 24 * 3600;
/// Refresh hints between publishing and signing (F-9 asks for three to five).
const HINTS_AHEAD: u32 = 5;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Published, and signs from then on.
    Prepared {
        /// Seconds since the Unix epoch.
        signs_from: u64,
    },
    /// Signs.
    Active,
    /// No longer signs.
    Retired {
        /// Seconds since the Unix epoch.
        since: u64,
    },
}

/// A key's life. Times are seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Term {
    pub(super) phase: Phase,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    /// How long after it has signed something that may still be valid, in seconds.
    pub(super) reach: u64,
}

impl Term {
    const fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// When the last thing that it signed has ended, if it retired.
    fn last_of_use(&self) -> u64 {
        match self.phase {
            Phase::Prepared { .. } | Phase::Active => self.not_after,
            Phase::Retired { since } => since.saturating_add(self.reach).min(self.not_after),
        }
    }

    /// True while it belongs into a bundle.
    pub(super) fn is_published(&self, now: u64) -> bool {
        now < self.last_of_use()
    }
}

/// A key with its life.
#[derive(Clone, Debug)]
pub(super) struct Entry<K> {
    pub(super) term: Term,
    pub(super) key: K,
}

/// A key that was just made.
pub(super) struct Made<K> {
    pub(super) key: K,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
}

/// How often, how far ahead, how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    /// How often readers of the bundle ask for a newer one.
    pub(super) refresh_hint: Duration,
    /// How long what a key signs is valid.
    pub(super) reach: Duration,
}

impl Schedule {
    fn notice(&self) -> u64 {
        self.refresh_hint.saturating_mul(HINTS_AHEAD).as_secs()
    }
}

/// Brings the keys up to date. Says whether anything changed.
pub(super) fn step<K, E>(
    keys: &mut Vec<Entry<K>>,
    schedule: &Schedule,
    now: u64,
    mut make: impl FnMut() -> Result<Made<K>, E>,
) -> Result<bool, E> {
    let mut changed = forget(keys, now);
    changed |= activate_prepared(keys, now);
    if !keys.iter().any(|entry| entry.term.phase == Phase::Active && entry.term.is_valid(now)) {
        replace_active(keys, schedule, now, &mut make)?;
        changed = true;
    }
    changed |= extend_reach(keys, schedule);
    let half_gone = active(keys, now).is_some_and(|entry| {
        now - entry.term.not_before >= (entry.term.not_after - entry.term.not_before) / 2
    });
    if half_gone && !has_prepared(keys) {
        prepare(keys, schedule, now, make)?;
        changed = true;
    }
    Ok(changed)
}

/// Publishes a new key, which signs later.
pub(super) fn prepare<K, E>(
    keys: &mut Vec<Entry<K>>,
    schedule: &Schedule,
    now: u64,
    mut make: impl FnMut() -> Result<Made<K>, E>,
) -> Result<(), E> {
    let signs_from = now.saturating_add(schedule.notice());
    keys.push(entry(make()?, Phase::Prepared { signs_from }, schedule));
    Ok(())
}

/// The key that signs now.
pub(super) fn active<K>(keys: &[Entry<K>], now: u64) -> Option<&Entry<K>> {
    keys.iter().find(|entry| entry.term.phase == Phase::Active && entry.term.is_valid(now))
}

/// True when the next key is published already.
pub(super) fn has_prepared<K>(keys: &[Entry<K>]) -> bool {
    keys.iter().any(|entry| matches!(entry.term.phase, Phase::Prepared { .. }))
}

/// What belongs into a bundle: the key that signs, then the next, then those of the past.
pub(super) fn published<K>(keys: &[Entry<K>], now: u64) -> Vec<&Entry<K>> {
    let mut published: Vec<_> = keys.iter().filter(|entry| entry.term.is_published(now)).collect();
    published.sort_by_key(|entry| match entry.term.phase {
        Phase::Active => (0, 0),
        Phase::Prepared { signs_from } => (1, signs_from),
        Phase::Retired { since } => (2, u64::MAX - since),
    });
    published
}

fn entry<K>(made: Made<K>, phase: Phase, schedule: &Schedule) -> Entry<K> {
    let Made { key, not_before, not_after } = made;
    Entry { term: Term { phase, not_before, not_after, reach: schedule.reach.as_secs() }, key }
}

/// Drops what was of use long ago, and what there is no room for.
fn forget<K>(keys: &mut Vec<Entry<K>>, now: u64) -> bool {
    let before = keys.len();
    keys.retain(|entry| now < entry.term.last_of_use().saturating_add(KEPT_AFTER_SECONDS));
    while keys.len() >= KEYS_MAX {
        let Some(oldest) = keys.iter().position(|entry| matches!(entry.term.phase, Phase::Retired { .. }))
        else {
            break;
        };
        keys.remove(oldest);
    }
    keys.len() != before
}

fn activate_prepared<K>(keys: &mut [Entry<K>], now: u64) -> bool {
    let due = |entry: &Entry<K>| {
        matches!(entry.term.phase, Phase::Prepared { signs_from } if signs_from <= now)
            && entry.term.is_valid(now)
    };
    let Some(next) = keys.iter().position(due) else { return false };
    activate(keys, next, now);
    true
}

/// Nothing valid signs: the agent was away, the clock stepped, or this is the beginning. There is no time for
/// notice.
fn replace_active<K, E>(
    keys: &mut Vec<Entry<K>>,
    schedule: &Schedule,
    now: u64,
    make: &mut impl FnMut() -> Result<Made<K>, E>,
) -> Result<(), E> {
    let usable =
        |entry: &Entry<K>| matches!(entry.term.phase, Phase::Prepared { .. }) && entry.term.is_valid(now);
    let next = match keys.iter().position(usable) {
        Some(prepared) => prepared,
        None => {
            keys.push(entry(make()?, Phase::Active, schedule));
            keys.len() - 1
        }
    };
    activate(keys, next, now);
    Ok(())
}

fn activate<K>(keys: &mut [Entry<K>], next: usize, now: u64) {
    for (place, entry) in keys.iter_mut().enumerate() {
        if place == next {
            entry.term.phase = Phase::Active;
        } else if entry.term.phase == Phase::Active {
            entry.term.phase = Phase::Retired { since: retired_at(&entry.term, now) };
        }
    }
}

/// A key of the future was made before the clock stepped back: what it signed then is valid again when the clock
/// has caught up.
fn retired_at(term: &Term, now: u64) -> u64 {
    if term.not_before > now { term.not_before.saturating_add(STEP_SECONDS) } else { now }
}

/// Longer lifetimes were configured: what signs now reaches further.
fn extend_reach<K>(keys: &mut [Entry<K>], schedule: &Schedule) -> bool {
    let mut changed = false;
    for entry in keys.iter_mut().filter(|entry| !matches!(entry.term.phase, Phase::Retired { .. })) {
        changed |= entry.term.reach < schedule.reach.as_secs();
        entry.term.reach = entry.term.reach.max(schedule.reach.as_secs());
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// How long a key is valid.
    const LIFE: u64 = 100_000;
    const SCHEDULE: Schedule =
        Schedule { refresh_hint: Duration::from_secs(100), reach: Duration::from_secs(1_000) };

    /// Steps at `now`; keys are named by when they were made.
    fn at(keys: &mut Vec<Entry<u64>>, now: u64) -> bool {
        step(keys, &SCHEDULE, now, || Ok::<_, Infallible>(made(now))).unwrap()
    }

    fn made(now: u64) -> Made<u64> {
        Made { key: now, not_before: now - 60, not_after: now + LIFE }
    }

    fn names(keys: &[Entry<u64>], now: u64) -> Vec<u64> {
        published(keys, now).into_iter().map(|entry| entry.key).collect()
    }

    #[test]
    fn a_successor_is_published_then_signs_then_stays_alone() {
        let mut keys = Vec::new();
        assert!(at(&mut keys, 1_000));
        assert!(!at(&mut keys, 1_000));
        assert!(!at(&mut keys, 50_000));
        assert!(at(&mut keys, 51_000));
        assert_eq!((names(&keys, 51_000), active(&keys, 51_000).unwrap().key), (vec![1_000, 51_000], 1_000));
        assert!(!at(&mut keys, 51_499));
        assert!(at(&mut keys, 51_500));
        assert_eq!((names(&keys, 51_500), active(&keys, 51_500).unwrap().key), (vec![51_000, 1_000], 51_000));
        at(&mut keys, 52_499);
        assert_eq!(names(&keys, 52_499), [51_000, 1_000]);
        at(&mut keys, 52_500);
        assert_eq!(names(&keys, 52_500), [51_000]);
    }

    #[test]
    fn after_an_absence_a_new_key_signs_at_once() {
        let mut keys = Vec::new();
        at(&mut keys, 1_000);
        assert!(at(&mut keys, 500_000));
        assert_eq!((names(&keys, 500_000), active(&keys, 500_000).unwrap().key), (vec![500_000], 500_000));
        // A successor that was published before the absence and is still valid takes over.
        at(&mut keys, 550_000);
        at(&mut keys, 600_000);
        assert_eq!(active(&keys, 600_000).unwrap().key, 550_000);
    }

    #[test]
    fn a_clock_that_steps_a_day_back_and_forth_loses_no_key() {
        const DAY: u64 = 86_400;
        let mut keys = Vec::new();
        at(&mut keys, 10 * DAY);
        at(&mut keys, 9 * DAY);
        assert_eq!(active(&keys, 9 * DAY).unwrap().key, 9 * DAY);
        assert!(names(&keys, 9 * DAY).contains(&(10 * DAY)));
        at(&mut keys, 10 * DAY);
        assert!(
            names(&keys, 10 * DAY).contains(&(10 * DAY)),
            "what it signed before the step is valid still"
        );
        let before = keys.len();
        at(&mut keys, 11 * DAY);
        at(&mut keys, 10 * DAY);
        assert!(keys.len() >= before, "a key was forgotten by a step of the clock");
        assert!(active(&keys, 10 * DAY).is_some());
    }

    #[test]
    fn there_is_a_bound_and_the_key_that_signs_is_never_dropped() {
        let mut keys = Vec::new();
        for round in 0..100 {
            let now = 1_000 + round;
            at(&mut keys, now);
            prepare(&mut keys, &SCHEDULE, now, || Ok::<_, Infallible>(made(now))).unwrap();
            let last = keys.len() - 1;
            activate(&mut keys, last, now);
            assert!(active(&keys, now).is_some());
            assert!(keys.len() <= KEYS_MAX);
        }
    }

    #[test]
    fn a_longer_lifetime_keeps_the_old_key_longer() {
        let mut keys = Vec::new();
        at(&mut keys, 1_000);
        let longer = Schedule { reach: Duration::from_secs(9_000), ..SCHEDULE };
        assert!(step(&mut keys, &longer, 2_000, || Ok::<_, Infallible>(made(2_000))).unwrap());
        assert_eq!(keys[0].term.reach, 9_000);
    }

    #[test]
    fn a_key_that_cannot_be_made_changes_nothing() {
        let mut keys: Vec<Entry<u64>> = Vec::new();
        assert_eq!(step(&mut keys, &SCHEDULE, 1_000, || Err("no")), Err("no"));
        assert!(keys.is_empty());
    }
}
