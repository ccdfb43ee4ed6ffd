//! `--from` and `--until`: points in time, as people write them.

use std::time::Duration;

use clap::Args;
use enforcer_proto::v1;
use prost_types::Timestamp;

use crate::clock;
use crate::duration;
use crate::failure::Failure;
use crate::verb::which::{self, Which};

const SECONDS_A_DAY: u64 = 86_400;

/// From when until when.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Span {
    /// From then on: RFC 3339, or how long ago, such as "2h ago" or 3d.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    from: Option<Timestamp>,

    /// Before then: RFC 3339, or how long ago.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    until: Option<Timestamp>,
}

impl Span {
    /// As the agent is asked for it, with a filter.
    pub(super) fn query(&self, which: &Which) -> Result<v1::QueryRequest, Failure> {
        self.query_of(which.request())
    }

    /// The same with more words.
    pub(super) fn query_of(&self, filter: v1::ObserveRequest) -> Result<v1::QueryRequest, Failure> {
        which::check(&filter)?;
        let (from, until) = (self.from, self.until);
        let nanos = |time: Timestamp| (time.seconds, time.nanos);
        if let (Some(from), Some(until)) = (from, until)
            && nanos(from) >= nanos(until)
        {
            return Err(Failure::Usage("--until is not after --from".to_owned()));
        }
        Ok(v1::QueryRequest { filter: Some(filter), from, until, limit: 0 })
    }
}

/// Reads a point in time.
fn instant(text: &str) -> Result<Timestamp, String> {
    let now = clock::now();
    if text == "now" {
        return Ok(now);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    let ago = text.strip_suffix("ago").unwrap_or(text).trim();
    let span = days(ago).or_else(|| duration::parse(ago).ok());
    let unknown =
        || format!("{text:?} is no point in time: write it like 2026-11-28T04:00:00Z, \"2h ago\", 90s or 3d");
    let span = prost_types::Duration::try_from(span.ok_or_else(unknown)?).map_err(|_| unknown())?;
    let mut time = Timestamp {
        seconds: now.seconds.checked_sub(span.seconds).ok_or_else(unknown)?,
        nanos: now.nanos - span.nanos,
    };
    time.normalize();
    Ok(time)
}

/// Whole days, which [`duration`] does not know: a day of a policy has no fixed length.
fn days(text: &str) -> Option<Duration> {
    let days: u64 = text.strip_suffix('d')?.parse().ok()?;
    Some(Duration::from_secs(days.checked_mul(SECONDS_A_DAY)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_read_as_people_write_them() {
        let exact = instant("2026-11-28T04:00:00.5Z").unwrap();
        assert_eq!((exact.seconds, exact.nanos), (1_795_838_400, 500_000_000));
        let now = clock::now().seconds;
        for (text, ago) in [("now", 0), ("2h ago", 7_200), ("90s", 90), ("1h30m ago", 5_400), ("3d", 259_200)]
        {
            let seconds = instant(text).unwrap().seconds;
            assert!((now - ago - 2..=now - ago + 2).contains(&seconds), "{text}: {seconds}");
        }
    }

    #[test]
    fn what_is_no_point_in_time_is_refused() {
        for text in ["", "ago", "yesterday-ish", "2026-13-01T00:00:00Z", "5", "-1h", "99999999999999999d"] {
            assert!(instant(text).is_err(), "{text:?}");
        }
    }
}
