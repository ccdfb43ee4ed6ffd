//! Times as messages.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enforcer_core::policy::model::UnixNanos;

/// Nanoseconds since the Unix epoch as a timestamp.
pub(super) fn timestamp(nanos: UnixNanos) -> prost_types::Timestamp {
    prost_types::Timestamp::from(UNIX_EPOCH + Duration::from_nanos(nanos))
}

/// A time of day as a timestamp.
pub(super) fn system(time: SystemTime) -> prost_types::Timestamp {
    prost_types::Timestamp::from(time)
}

/// A span; one that no message can hold is its largest.
pub(super) fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(span)
        .unwrap_or(prost_types::Duration { seconds: i64::MAX, nanos: 999_999_999 })
}
