//! Instants as Parquet has them: nanoseconds since 1970, signed, 64 bits.

use prost_types::Timestamp;

const SECOND: i128 = 1_000_000_000;

/// Nanoseconds since 1970. What lies before 1677 or after 2262 becomes the first or the last instant that fits: no
/// clock of a running node shows either.
#[must_use]
pub fn nanoseconds(time: &Timestamp) -> i64 {
    let exact = i128::from(time.seconds) * SECOND + i128::from(time.nanos);
    i64::try_from(exact).unwrap_or(if exact < 0 { i64::MIN } else { i64::MAX })
}

/// The instant that is so many nanoseconds after 1970.
#[must_use]
pub fn from_nanoseconds(nanoseconds: i64) -> Timestamp {
    let (seconds, nanos) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
    Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_instant_round_trips(nanoseconds_: i64) {
            prop_assert_eq!(nanoseconds(&from_nanoseconds(nanoseconds_)), nanoseconds_);
        }
    }

    #[test]
    fn before_1970_the_nanoseconds_still_count_forwards() {
        assert_eq!(from_nanoseconds(-1), Timestamp { seconds: -1, nanos: 999_999_999 });
    }

    #[test]
    fn an_instant_that_does_not_fit_is_the_nearest_that_does() {
        assert_eq!(nanoseconds(&Timestamp { seconds: i64::MAX, nanos: 0 }), i64::MAX);
        assert_eq!(nanoseconds(&Timestamp { seconds: i64::MIN, nanos: 0 }), i64::MIN);
    }
}
