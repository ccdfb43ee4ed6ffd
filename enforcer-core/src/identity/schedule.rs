//! When to ask for a successor, and when to ask again after a failure. Randomness is an argument: a die in
//! `0.0..1.0`, so that many identities that began together do not stay together.

use std::time::Duration;

/// The first pause after a failure.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
pub const RETRY_MAX: Duration = Duration::from_secs(60);
/// How far renewal strays from half of the lifetime, either way, as a part of the lifetime.
const JITTER: f64 = 0.05;
/// With less than this part of its lifetime left, a certificate that has no successor is a matter for a person.
const LATE: f64 = 0.2;

/// How long a certificate lasts, and when its successor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Start of validity, since the Unix epoch.
    pub not_before: Duration,
    /// End of validity, since the Unix epoch.
    pub not_after: Duration,
    /// When a successor is asked for.
    pub renew_at: Duration,
}

impl Term {
    /// Renewal at half of the lifetime, give or take.
    #[must_use]
    pub fn new(not_before: Duration, not_after: Duration, die: f64) -> Self {
        let life = not_after.saturating_sub(not_before);
        let part = 0.5 + (die.clamp(0.0, 1.0) - 0.5) * 2.0 * JITTER;
        Self { not_before, not_after, renew_at: not_before + life.mul_f64(part) }
    }

    /// True while a verifier with this clock accepts the certificate.
    #[must_use]
    pub fn holds(&self, now: Duration) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// True when the time for renewal has come, or the clock was set back to before the certificate began.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.renew_at || now < self.not_before
    }

    /// True when renewal should have worked long ago.
    #[must_use]
    pub fn is_late(&self, now: Duration) -> bool {
        let life = self.not_after.saturating_sub(self.not_before);
        self.not_after.saturating_sub(now) < life.mul_f64(LATE)
    }
}

/// The pause after the `failures`th failure in a row: doubled each time up to a minute, and up to a quarter longer.
#[must_use]
pub fn back_off(failures: u32, die: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let pause = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    pause + pause.mul_f64(die.clamp(0.0, 1.0) / 4.0)
}

/// True when the time of an attempt has come, or lies further ahead than any pause is long: then the clock was set
/// back after it was chosen.
#[must_use]
pub fn has_come(at: Duration, now: Duration) -> bool {
    at <= now || at > now + RETRY_MAX.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn renewal_is_at_half_life_with_jitter() {
        let at = |die| Term::new(HOUR, HOUR * 2, die).renew_at - HOUR;
        assert_eq!(at(0.5), HOUR / 2);
        assert_eq!((at(0.0), at(1.0)), (Duration::from_secs(1620), Duration::from_secs(1980)));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_certificate_due() {
        let term = Term::new(HOUR * 48, HOUR * 49, 0.5);
        assert!(term.is_due(HOUR * 24) && !term.holds(HOUR * 24));
        assert!(!term.is_due(HOUR * 48) && term.holds(HOUR * 48));
        assert!(!term.holds(HOUR * 49));
    }

    #[test]
    fn a_pause_that_was_chosen_before_the_clock_was_set_back_is_over() {
        assert!(has_come(HOUR, HOUR) && !has_come(HOUR + RETRY_MAX, HOUR));
        assert!(has_come(HOUR * 24, HOUR));
    }

    #[test]
    fn late_is_before_the_end() {
        let term = Term::new(HOUR, HOUR * 2, 0.5);
        assert!(!term.is_late(HOUR * 2 - HOUR / 5));
        assert!(term.is_late(HOUR * 2 - HOUR / 6) && term.holds(HOUR * 2 - HOUR / 6));
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_stray() {
        let seconds = |failures, die| back_off(failures, die).as_secs_f64();
        assert!((seconds(1, 0.0) - 1.0).abs() < 1e-9);
        assert!((seconds(4, 0.0) - 8.0).abs() < 1e-9);
        assert!((seconds(1000, 1.0) - 75.0).abs() < 1e-9);
    }
}
