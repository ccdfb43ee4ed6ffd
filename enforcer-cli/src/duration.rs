//! Durations as people write them: `90s`, `5m`, `1h30m`, `250ms`.

use std::time::Duration;

const UNITS_MS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    /// No number where one was expected.
    #[error("{0:?} is no duration: write it like 90s, 5m, 1h30m or 250ms")]
    NoNumber(String),
    /// A number without a unit that is known.
    #[error("{0:?} has the unit {1:?}: use h, m, s or ms")]
    Unit(String, String),
    /// More than can be waited for.
    #[error("{0:?} is too long")]
    TooLong(String),
}

/// Reads a duration.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text;
    let mut total_ms = 0_u64;
    while !rest.is_empty() || text.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_len);
        if number.is_empty() {
            return Err(DurationError::NoNumber(text.to_owned()));
        }
        let unit_ms = UNITS_MS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, ms)| *ms)
            .ok_or_else(|| DurationError::Unit(text.to_owned(), unit.to_owned()))?;
        let part_ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_ms));
        total_ms = part_ms
            .and_then(|part_ms| total_ms.checked_add(part_ms))
            .ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
        rest = next;
    }
    Ok(Duration::from_millis(total_ms))
}

/// Whole seconds as [`parse`] reads them, in the two largest units that there are: `58m12s`.
pub(crate) fn words(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, rest) => format!("{minutes}m{rest}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_written_in_two_units_and_read_back() {
        let cases = [(0, "0s"), (59, "59s"), (60, "1m"), (3_492, "58m12s"), (3_600, "1h"), (90_061, "25h1m")];
        for (seconds, text) in cases {
            assert_eq!(words(seconds), text);
            assert!(parse(text).unwrap() <= Duration::from_secs(seconds), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        assert_eq!(parse("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "s", "-1s", "1.5s"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        assert_eq!(parse("5"), Err(DurationError::Unit("5".to_owned(), String::new())));
        assert_eq!(parse("5d"), Err(DurationError::Unit("5d".to_owned(), "d".to_owned())));
        assert!(matches!(parse("99999999999999999999h"), Err(DurationError::TooLong(_))));
    }
}
