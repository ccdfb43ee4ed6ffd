//! The time of day and chance, asked for in one place.

use std::hash::{BuildHasher as _, RandomState};
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

/// Chance enough to keep programs from asking all at once; no secret may be made of it.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(unix_nanos())
}
