//! Names that become names of files and directories.

use crate::error::StoreError;

const BYTES_MAX: usize = 128;

/// Passes what is safe as a part of a path and is not hidden.
pub(crate) fn check(name: &str) -> Result<(), StoreError> {
    let fits = (1..=BYTES_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits { Ok(()) } else { Err(StoreError::Name(name.chars().take(BYTES_MAX).collect())) }
}

/// The hour of a time, as directories are named: "2026-11-28T04".
pub(crate) fn hour(time_ns: u64) -> String {
    let hours = time_ns / HOUR_NS;
    let (year, month, day) = date(hours / 24);
    format!("{year:04}-{month:02}-{day:02}T{:02}", hours % 24)
}

pub(crate) const HOUR_NS: u64 = 3_600_000_000_000;

/// The date that is so many days after 1970-01-01: Hinnant's `civil_from_days`, for days that are not before it.
const fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_calendar() {
        for (seconds, hour_name) in [
            (0, "1970-01-01T00"),
            (951_782_399, "2000-02-28T23"),
            (951_868_799, "2000-02-29T23"),
            (951_868_800, "2000-03-01T00"),
            (1_764_302_400, "2025-11-28T04"),
            (4_107_542_399, "2100-02-28T23"),
            (4_107_542_400, "2100-03-01T00"),
        ] {
            assert_eq!(hour(seconds * 1_000_000_000), hour_name, "{seconds}");
        }
        assert_eq!(hour(u64::MAX), "2554-07-21T23");
    }

    #[test]
    fn names_stay_within_their_directory() {
        for good in ["red", "_node", "node-1.example", "A"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a b", "ä", "a\0", &"a".repeat(129)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
