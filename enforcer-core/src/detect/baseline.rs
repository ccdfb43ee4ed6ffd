//! What is usual for a tenant: the median of its latest windows, and their median absolute deviation (MAD). Both stay
//! where they are when up to half of the windows are wild.
//!
//! A burst cannot teach: what is above the limit is learned as the limit, and the limit grows by at most
//! one part in [`GROWTH_PART`], plus one, from one window to the next. So after k windows of anything whatever,
//! `limit + 50 <= (limit before + 50) * 1.02^k`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::limits::{GROWTH_PART, HISTORY};
use super::rule::Terms;

/// What was learned of one tenant for one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Values of the latest windows, oldest first.
    samples: VecDeque<u64>,
    /// Learned; `None` while there are too few samples.
    limit: Option<u64>,
    /// Nothing is learned.
    frozen: bool,
}

/// What a baseline says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// Median of the windows.
    pub median: u64,
    /// Median absolute deviation.
    pub deviation: u64,
}

impl Baseline {
    /// Takes in a whole window's value.
    pub fn learn(&mut self, value: u64, terms: &Terms) {
        let Some(factor) = terms.factor.filter(|_| !self.frozen) else { return };
        let learned = self.limit_under(terms).map_or(value, |limit| value.min(limit));
        if self.samples.len() >= HISTORY {
            self.samples.pop_front();
        }
        self.samples.push_back(learned);
        self.limit = self.next_limit(factor, terms.samples_min);
    }

    fn next_limit(&self, factor: u64, samples_min: u64) -> Option<u64> {
        if self.samples() < samples_min {
            return self.limit;
        }
        let Usual { median, deviation } = self.usual()?;
        // Where all windows were alike, the slightest change would be out of the usual.
        let step = deviation.max(median / 10).max(1);
        let wanted = median.saturating_add(factor.saturating_mul(step));
        let allowed = self.limit.map(|limit| limit.saturating_add(limit / GROWTH_PART).saturating_add(1));
        Some(allowed.map_or(wanted, |allowed| wanted.min(allowed)))
    }

    /// From when on it is too much; `None` while it still learns.
    #[must_use]
    pub fn limit_under(&self, terms: &Terms) -> Option<u64> {
        self.limit.map(|limit| limit.max(terms.threshold))
    }

    /// Median and deviation; `None` without a sample.
    #[must_use]
    pub fn usual(&self) -> Option<Usual> {
        let median = median(self.samples.iter().copied())?;
        let deviation = self::median(self.samples.iter().map(|value| value.abs_diff(median)))?;
        Some(Usual { median, deviation })
    }

    /// Windows that it was learned from.
    #[must_use]
    pub fn samples(&self) -> u64 {
        u64::try_from(self.samples.len()).unwrap_or(u64::MAX)
    }

    /// True when nothing is learned.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Learns no more, or goes on.
    pub const fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// True for what could have been learned here: a file may hold anything.
    pub(super) fn is_sound(&self) -> bool {
        self.samples.len() <= HISTORY
    }
}

fn median(values: impl Iterator<Item = u64>) -> Option<u64> {
    let mut sorted: Vec<u64> = values.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::detect::tests::terms;

    fn learning() -> Terms {
        Terms { threshold: 1, factor: Some(5), samples_min: 8, ..terms() }
    }

    fn learned(values: &[u64]) -> Baseline {
        let mut baseline = Baseline::default();
        values.iter().for_each(|value| baseline.learn(*value, &learning()));
        baseline
    }

    #[test]
    fn it_speaks_after_enough_windows_and_not_before() {
        let mut baseline = learned(&[100; 7]);
        assert_eq!((baseline.limit_under(&learning()), baseline.samples()), (None, 7));
        baseline.learn(100, &learning());
        // All alike: a tenth of the median stands in for the deviation.
        assert_eq!(baseline.limit_under(&learning()), Some(150));
        assert_eq!(baseline.usual(), Some(Usual { median: 100, deviation: 0 }));
    }

    #[test]
    fn the_limit_is_the_median_and_so_many_deviations_and_never_below_the_threshold() {
        let baseline = learned(&[80, 120, 80, 120, 100, 100, 60, 140]);
        assert_eq!(baseline.usual(), Some(Usual { median: 100, deviation: 20 }));
        assert_eq!(baseline.limit_under(&learning()), Some(200));
        assert_eq!(baseline.limit_under(&Terms { threshold: 500, ..learning() }), Some(500));
    }

    #[test]
    fn a_frozen_one_learns_nothing() {
        let mut baseline = learned(&[100; 20]);
        baseline.freeze(true);
        let before = baseline.clone();
        (0..500).for_each(|value| baseline.learn(value, &learning()));
        assert_eq!(baseline, before);
        baseline.freeze(false);
        baseline.learn(100, &learning());
        assert_eq!(baseline.samples(), 21);
    }

    #[test]
    fn what_grows_slowly_is_followed_and_the_history_is_bounded() {
        let mut baseline = learned(&[100; 24]);
        for window in 0..400 {
            baseline.learn(100 + window, &learning());
        }
        assert_eq!(baseline.samples(), 168);
        assert!(baseline.limit_under(&learning()).is_some_and(|limit| limit > 500));
    }

    proptest! {
        #[test]
        fn a_burst_of_any_size_moves_the_limit_by_at_most_the_bound(
            usual in proptest::collection::vec(0_u64..1_000_000, 8..200),
            burst in proptest::collection::vec(any::<u64>(), 1..60),
        ) {
            let mut baseline = learned(&usual);
            let before = baseline.limit_under(&learning()).unwrap();
            let mut bound = u128::from(before);
            for value in burst {
                baseline.learn(value, &learning());
                bound += bound / 50 + 1;
                let limit = u128::from(baseline.limit_under(&learning()).unwrap());
                prop_assert!(limit <= bound, "{limit} > {bound}");
            }
        }
    }
}
