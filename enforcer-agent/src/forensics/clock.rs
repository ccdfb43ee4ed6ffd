//! The clocks, read together.

use enforcer_core::event::clock::Reading;
use nix::time::{ClockId, clock_gettime};

/// Readings of which the quickest is taken: a task may be interrupted between two clocks.
const TRIES: usize = 5;

/// How far the time of day is from the boot clock now.
pub(super) fn read() -> Reading {
    let readings = (0..TRIES).map(|_| {
        let before = boot_ns();
        let real = nanoseconds(ClockId::CLOCK_REALTIME);
        Reading::between(before, real, boot_ns())
    });
    readings.min_by_key(|reading| reading.error_ns).unwrap_or_default()
}

/// `CLOCK_BOOTTIME` now.
pub(super) fn boot_ns() -> u64 {
    u64::try_from(nanoseconds(ClockId::CLOCK_BOOTTIME)).unwrap_or(0)
}

/// Time of day.
pub(super) fn now() -> prost_types::Timestamp {
    std::time::SystemTime::now().into()
}

fn nanoseconds(clock: ClockId) -> i64 {
    let (seconds, nanos) =
        clock_gettime(clock).map(|time| (time.tv_sec(), time.tv_nsec())).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_small_and_the_offset_the_one_of_the_clocks() {
        let reading = read();
        assert!(reading.error_ns < 1_000_000_000);
        assert!(reading.boot_ns <= boot_ns());
        let unix_ns = i128::from(reading.boot_ns) + i128::from(reading.offset_ns);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        assert!(now.abs_diff(u128::try_from(unix_ns).unwrap()) < 5_000_000_000);
    }
}
