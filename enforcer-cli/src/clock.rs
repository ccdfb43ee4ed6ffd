//! The time of day, asked for in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Now, in nanoseconds since 1970; zero on a machine whose clock stands before that.
pub(crate) fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
