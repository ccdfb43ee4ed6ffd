//! How many flows are held, and how many there were a second over the last minute.

use enforcer_proto::v1;

use super::flow::is_flow;

/// Nanoseconds of a minute, and of a second.
const MINUTE: i128 = 60 * SECOND;
const SECOND: i128 = 1_000_000_000;

/// Counts what is held, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    now: i128,
    /// Flows that are held.
    held: u64,
    recent: u64,
    /// The oldest of them all.
    oldest: Option<i128>,
}

impl Rate {
    /// At a time in nanoseconds since the Unix epoch.
    #[must_use]
    pub const fn new(now: u64) -> Self {
        Self { now: now as i128, held: 0, recent: 0, oldest: None }
    }

    /// Counts a record, if it is a flow.
    pub fn see(&mut self, record: &v1::Record) {
        if !is_flow(record) {
            return;
        }
        let time = record.time.unwrap_or_default();
        let at = i128::from(time.seconds) * SECOND + i128::from(time.nanos);
        self.held += 1;
        self.recent += u64::from(self.now - at <= MINUTE);
        self.oldest = Some(self.oldest.map_or(at, |oldest| oldest.min(at)));
    }

    /// Flows that were counted.
    #[must_use]
    pub const fn held(&self) -> u64 {
        self.held
    }

    /// Flows a second. Where the last minute is not all held any more, over as much of it as is.
    #[must_use]
    pub fn per_second(&self, was_pushed_out: bool) -> f64 {
        let since_oldest = self.oldest.map_or(MINUTE, |oldest| self.now - oldest);
        let span = if was_pushed_out { since_oldest.clamp(1_000_000, MINUTE) } else { MINUTE };
        let milliseconds = i32::try_from(span / 1_000_000).unwrap_or(i32::MAX);
        // No more are held than fit.
        f64::from(u32::try_from(self.recent).unwrap_or(u32::MAX)) * 1_000.0 / f64::from(milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::record;
    use super::*;

    fn rate(seconds: &[i64]) -> Rate {
        let mut rate = Rate::new(1_000 * 1_000_000_000);
        for seconds in seconds {
            let time = Some(prost_types::Timestamp { seconds: *seconds, nanos: 0 });
            rate.see(&v1::Record { time, ..record() });
        }
        rate.see(&v1::Record { r#type: "device".to_owned(), ..record() });
        rate
    }

    fn is(rate: f64, wanted: f64) -> bool {
        (rate - wanted).abs() < 1e-9
    }

    #[test]
    fn flows_of_the_last_minute_are_counted() {
        let counted = rate(&[900, 939, 940, 960, 1_000]);
        assert_eq!(counted.held(), 5);
        assert!(is(counted.per_second(false), 3.0 / 60.0));
        assert!(is(counted.per_second(true), 3.0 / 60.0));
        assert!(is(rate(&[]).per_second(true), 0.0));
    }

    #[test]
    fn where_less_than_a_minute_is_held_the_rate_is_of_that() {
        assert!(is(rate(&[990, 991, 999, 1_000]).per_second(true), 0.4));
        assert!(is(rate(&[990, 991, 999, 1_000]).per_second(false), 4.0 / 60.0));
        assert!(rate(&[1_000]).per_second(true).is_finite());
    }
}
