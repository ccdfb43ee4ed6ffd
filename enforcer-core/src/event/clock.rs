//! From the boot clock to the calendar, with how far that may be off. Pure: somebody reads the clocks.

/// A step of the time of day from here up is a jump; below it, it is discipline of the clock.
pub const JUMP_NS: u64 = 100_000_000;

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `CLOCK_BOOTTIME` at the middle of the reading.
    pub boot_ns: u64,
    /// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`.
    pub offset_ns: i64,
    /// Half of how long the reading took: the offset is off by no more.
    pub error_ns: u64,
}

impl Reading {
    /// Of three instants, read one after the other: boot, time of day, boot again. All in nanoseconds.
    #[must_use]
    pub fn between(boot_before: u64, real: i64, boot_after: u64) -> Self {
        let took = boot_after.saturating_sub(boot_before);
        let boot_ns = boot_before.saturating_add(took / 2);
        let offset_ns = real.saturating_sub(i64::try_from(boot_ns).unwrap_or(i64::MAX));
        Self { boot_ns, offset_ns, error_ns: took.div_ceil(2) }
    }
}

/// The time of day was set while records were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// The offset before.
    pub from: Reading,
    /// And after.
    pub to: Reading,
}

/// The conversion in use, and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    latest: Reading,
    before: Reading,
}

impl Clock {
    /// From a first reading.
    #[must_use]
    pub const fn new(reading: Reading) -> Self {
        Self { latest: reading, before: reading }
    }

    /// Takes a later reading; says when the time of day jumped since the one before.
    pub fn take(&mut self, reading: Reading) -> Option<Jump> {
        let jump = Jump { from: self.latest, to: reading };
        *self = Self { latest: reading, before: self.latest };
        (jump.from.offset_ns.abs_diff(jump.to.offset_ns) >= JUMP_NS).then_some(jump)
    }

    /// When something was, and how far that may be off: before the reading before the latest by the offset then, and in
    /// between by either, since nobody saw when it changed.
    #[must_use]
    pub fn at(&self, boot_ns: u64) -> (prost_types::Timestamp, u64) {
        let Self { latest, before } = self;
        let moved = latest.offset_ns.abs_diff(before.offset_ns);
        if boot_ns < before.boot_ns {
            return (time_of(boot_ns, before.offset_ns), before.error_ns);
        }
        (time_of(boot_ns, latest.offset_ns), latest.error_ns.saturating_add(self.doubt(boot_ns, moved)))
    }

    const fn doubt(&self, boot_ns: u64, moved: u64) -> u64 {
        // After a jump the new offset is the one; while the clock is disciplined it goes on as it did.
        if boot_ns >= self.latest.boot_ns && moved >= JUMP_NS { 0 } else { moved }
    }
}

/// An instant of the boot clock on the calendar.
#[must_use]
pub fn time_of(boot_ns: u64, offset_ns: i64) -> prost_types::Timestamp {
    const SECOND: i128 = 1_000_000_000;
    let unix_ns = i128::from(boot_ns) + i128::from(offset_ns);
    prost_types::Timestamp {
        seconds: i64::try_from(unix_ns.div_euclid(SECOND)).unwrap_or(i64::MAX),
        nanos: i32::try_from(unix_ns.rem_euclid(SECOND)).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn reading(boot_ns: u64, offset_ns: i64) -> Reading {
        Reading { boot_ns, offset_ns, error_ns: 40 }
    }

    #[test]
    fn a_reading_is_as_exact_as_it_was_quick() {
        assert_eq!(
            Reading::between(100, 5_000, 151),
            Reading { boot_ns: 125, offset_ns: 4_875, error_ns: 26 }
        );
        assert_eq!(Reading::between(100, 0, 50).error_ns, 0);
    }

    #[test]
    fn a_jump_is_told_and_what_was_before_keeps_its_time() {
        let mut clock = Clock::new(reading(SECOND, 0));
        assert_eq!(clock.take(reading(2 * SECOND, 1_000)), None);
        let jump = clock.take(reading(3 * SECOND, -7_200_000_000_000)).unwrap();
        assert_eq!((jump.from.offset_ns, jump.to.offset_ns), (1_000, -7_200_000_000_000));
        // Before the jump, while it may have been, and after it.
        assert_eq!(clock.at(SECOND + 5), (time_of(SECOND + 5, 1_000), 40));
        assert_eq!(clock.at(2 * SECOND + 5).1, 40 + 7_200_000_001_000);
        assert_eq!(clock.at(3 * SECOND), (time_of(3 * SECOND, -7_200_000_000_000), 40));
    }

    #[test]
    fn a_clock_that_is_disciplined_is_off_by_what_it_moved() {
        let mut clock = Clock::new(reading(SECOND, 0));
        assert_eq!(clock.at(2 * SECOND).1, 40);
        assert_eq!(clock.take(reading(2 * SECOND, 500)), None);
        assert_eq!(clock.at(3 * SECOND).1, 540);
    }

    #[test]
    fn time_before_the_epoch_and_beyond_the_clock_does_not_overflow() {
        assert_eq!(time_of(0, -1), prost_types::Timestamp { seconds: -1, nanos: 999_999_999 });
        assert_eq!(time_of(u64::MAX, i64::MAX).nanos, 564327422);
    }
}
