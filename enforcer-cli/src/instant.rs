//! Points in time and spans of it, as records and policies write them.

use prost_types::{Duration, Timestamp};

/// RFC 3339 in UTC with milliseconds, always equally wide for the years 0 to 9999: for columns. Absent: `-`.
pub(crate) fn column(time: Option<&Timestamp>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let mut time = *time;
    time.normalize();
    time.nanos -= time.nanos % 1_000_000;
    let text = time.to_string();
    let whole = text.trim_end_matches('Z');
    if time.nanos == 0 { format!("{whole}.000Z") } else { text }
}

/// RFC 3339 in UTC, with as many decimals as there are.
pub(crate) fn rfc3339(time: &Timestamp) -> String {
    time.to_string()
}

/// Milliseconds, as `1.234 ms`.
pub(crate) fn milliseconds(span: &Duration) -> String {
    let nanos = i128::from(span.seconds) * 1_000_000_000 + i128::from(span.nanos);
    format!("{}.{:03} ms", nanos / 1_000_000, nanos.rem_euclid(1_000_000) / 1_000)
}

/// From one point to a later one in whole seconds, rounded down; `None` when less than one is left.
pub(crate) fn seconds_between(from: &Timestamp, to: &Timestamp) -> Option<i64> {
    let (mut from, mut to) = (*from, *to);
    from.normalize();
    to.normalize();
    let whole = to.seconds.checked_sub(from.seconds)?;
    let whole = if to.nanos < from.nanos { whole - 1 } else { whole };
    (whole > 0).then_some(whole)
}

/// Whole nanoseconds, for programs.
pub(crate) fn nanoseconds(span: &Duration) -> i128 {
    i128::from(span.seconds) * 1_000_000_000 + i128::from(span.nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_equally_wide() {
        let time = |nanos| Timestamp { seconds: 1_793_700_000, nanos };
        assert_eq!(column(Some(&time(0))), "2026-11-03T10:00:00.000Z");
        assert_eq!(column(Some(&time(7_000_001))), "2026-11-03T10:00:00.007Z");
        assert_eq!(column(Some(&time(999_999))), "2026-11-03T10:00:00.000Z");
        assert_eq!(column(None), "-");
    }

    #[test]
    fn spans_keep_their_microseconds() {
        let span = Duration { seconds: 1, nanos: 2_345_678 };
        assert_eq!(milliseconds(&span), "1002.345 ms");
        assert_eq!(nanoseconds(&span), 1_002_345_678);
    }

    #[test]
    fn what_is_left_is_never_rounded_up() {
        let time = |seconds, nanos| Timestamp { seconds, nanos };
        assert_eq!(seconds_between(&time(10, 0), &time(100, 0)), Some(90));
        assert_eq!(seconds_between(&time(10, 1), &time(100, 0)), Some(89));
        assert_eq!(seconds_between(&time(10, 1), &time(11, 0)), None);
        assert_eq!(seconds_between(&time(10, 0), &time(10, 0)), None);
        assert_eq!(seconds_between(&time(10, 0), &time(1, 0)), None);
    }
}
