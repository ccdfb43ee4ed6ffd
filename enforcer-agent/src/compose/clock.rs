//! The clocks: time of day, and how far it is from the kernel's.

use std::time::{SystemTime, UNIX_EPOCH};

use enforcer_core::policy::model::UnixNanos;
use nix::time::{ClockId, clock_gettime};

/// A step of the time of day below this is drift, and does not rewrite every lease.
const TOLERATED_NS: u64 = 1_000_000_000;

/// Time of day; zero before 1970.
pub(super) fn now() -> UnixNanos {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, in nanoseconds, kept until it is off by more than a second.
#[derive(Debug, Default)]
pub(super) struct MonotonicOffset(Option<i64>);

impl MonotonicOffset {
    pub(super) fn read(&mut self) -> i64 {
        let seen = offset();
        match self.0 {
            Some(kept) if kept.abs_diff(seen) < TOLERATED_NS => kept,
            Some(_) | None => *self.0.insert(seen),
        }
    }
}

fn offset() -> i64 {
    let at = |clock| clock_gettime(clock).map(|time| (time.tv_sec(), time.tv_nsec())).unwrap_or_default();
    let (real, monotonic) = (at(ClockId::CLOCK_REALTIME), at(ClockId::CLOCK_MONOTONIC));
    (real.0 - monotonic.0).saturating_mul(1_000_000_000).saturating_add(real.1 - monotonic.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_keeps_the_offset_and_a_step_replaces_it() {
        let mut clock = MonotonicOffset::default();
        let first = clock.read();
        assert_eq!(clock.read(), first);
        clock.0 = Some(first + 500_000_000);
        assert_eq!(clock.read(), first + 500_000_000);
        clock.0 = Some(first + 5_000_000_000);
        assert!(clock.read().abs_diff(first) < 1_000_000_000);
    }
}
