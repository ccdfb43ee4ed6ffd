//! A token bucket, as the moment until which it is used up (GCRA): no task refills it, and a full one needs no
//! memory.

use std::time::Duration;

/// How fast, and how much at a stroke.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    period: Duration,
    burst: Duration,
}

impl Rate {
    /// So many per second in the long run, and so many at a stroke; at least one of each.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let period = Duration::from_secs(1) / per_second.max(1);
        Self { period, burst: period.saturating_mul(burst.max(1)) }
    }
}

/// What was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    used_until: Duration,
}

impl Bucket {
    /// Takes one; false when there is none. `now` counts from any fixed moment.
    pub fn take(&mut self, now: Duration, rate: Rate) -> bool {
        let used_until = self.used_until.max(now) + rate.period;
        let is_there = used_until - now <= rate.burst;
        if is_there {
            self.used_until = used_until;
        }
        is_there
    }

    /// True when nothing is missing from it.
    #[must_use]
    pub fn is_full(&self, now: Duration) -> bool {
        self.used_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_no_more_than_the_rate() {
        let rate = Rate::new(10, 3);
        let mut bucket = Bucket::default();
        let start = Duration::from_secs(5);
        let taken = |bucket: &mut Bucket, now| (0..10).filter(|_| bucket.take(now, rate)).count();
        assert_eq!(taken(&mut bucket, start), 3);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, start + Duration::from_millis(100)), 1);
        assert!(!bucket.is_full(start + Duration::from_millis(300)));
        assert!(bucket.is_full(start + Duration::from_millis(400)));
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(60)), 3);
    }
}
