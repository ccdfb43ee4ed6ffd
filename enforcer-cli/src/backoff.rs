//! How long to wait before asking again: soon at first, then longer, never all at the same time.

use std::time::Duration;

/// The longest first wait: a stream that closes is opened again at once (W-3).
const FIRST: Duration = Duration::from_millis(200);
/// The longest wait.
const MOST: Duration = Duration::from_secs(30);

/// Attempts since the last success.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Begins anew after a success.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait: between half of a bound that doubles and the bound itself.
    pub(crate) fn next(&mut self, chance: u64) -> Duration {
        let bound = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        let half = bound / 2;
        let half_ms = u64::try_from(half.as_millis()).unwrap_or(u64::MAX);
        half + Duration::from_millis(chance % (half_ms + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_and_begin_anew() {
        let mut backoff = Backoff::default();
        let waits: Vec<u128> = (0..4).map(|_| backoff.next(0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800]);
        backoff.reset();
        assert_eq!(backoff.next(0).as_millis(), 100);
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_bound(failures: u32, chance: u64) {
            let wait = Backoff { failures }.next(chance);
            prop_assert!(wait >= FIRST / 2 && wait <= MOST);
        }
    }
}
