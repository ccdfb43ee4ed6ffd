//! Leases: a duration from receipt, or the point in time that it was turned into.

use prost_types::{Duration, Timestamp};

use super::scope::Scope;
use crate::policy::model::UnixNanos;
use crate::policy::parse::limits::MAX_LEASE_SECONDS;
use crate::policy::parse::path::At;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// `Some(None)` for ever; `None` when something was refused.
pub(super) fn parse(
    scope: &mut Scope,
    at: &At,
    lease: Option<&Duration>,
    until: Option<&Timestamp>,
) -> Option<Option<UnixNanos>> {
    match (lease, until) {
        (None, None) => Some(None),
        (Some(_), Some(_)) => {
            let message = "is stated beside leaseUntil; state one of them";
            scope.refuse("lease_twice", &at.field("lease"), message);
            None
        }
        (Some(lease), None) => from_now(scope, &at.field("lease"), lease).map(Some),
        (None, Some(until)) => point(scope, &at.field("leaseUntil"), until).map(Some),
    }
}

fn from_now(scope: &mut Scope, at: &At, lease: &Duration) -> Option<UnixNanos> {
    let length = nanos(lease.seconds, lease.nanos).filter(|length| *length > 0);
    let Some(length) = length else {
        scope.refuse("invalid_lease", at, "is not longer than zero; leave it out to mean for ever");
        return None;
    };
    if length > MAX_LEASE_SECONDS * NANOS_PER_SECOND {
        let message = format!("is longer than {MAX_LEASE_SECONDS} seconds; leave it out to mean for ever");
        scope.refuse("invalid_lease", at, message);
        return None;
    }
    Some(scope.now.saturating_add(length))
}

fn point(scope: &mut Scope, at: &At, until: &Timestamp) -> Option<UnixNanos> {
    let point = nanos(until.seconds, until.nanos);
    if point.is_none() {
        scope.refuse("invalid_lease", at, "is no time between 1970 and 2554; state a time as protobuf does");
    }
    point
}

/// `None` when negative, when the nanoseconds are no part of a second, or past what 64 bits hold.
fn nanos(seconds: i64, nanos: i32) -> Option<u64> {
    let seconds = u64::try_from(seconds).ok()?;
    let nanos = u64::try_from(nanos).ok().filter(|nanos| *nanos < NANOS_PER_SECOND)?;
    seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos)
}
