//! Responses to alerts: for a time, a tenant opens no new flow, or only so many a second. It ends by itself when its
//! time is up, with or without an agent. What is open goes on.

use crate::maps::BucketValue;
use crate::reason;
use crate::telling::ResponseValue;

/// No new flow.
pub const MODE_DENY_NEW: u32 = 1;
/// So many new flows a second as the rate says, and as many at once.
pub const MODE_LIMIT: u32 = 2;

const SECOND_NS: u64 = 1_000_000_000;

/// Whether a response refuses a new flow: the drop reason, or [`reason::NONE`]. A mode that is not known refuses: its
/// writer wanted less than everything. `has_token` is asked only where a rate counts.
#[must_use]
#[inline(always)]
pub fn refuses(response: &ResponseValue, now_ns: u64, has_token: impl FnOnce(u32) -> bool) -> u16 {
    if now_ns >= response.until_ns {
        return reason::NONE;
    }
    match response.mode {
        MODE_LIMIT if has_token(response.rate) => reason::NONE,
        MODE_LIMIT => reason::RESPONSE_LIMITED,
        _ => reason::RESPONSE_DENIED,
    }
}

/// Takes a token from a bucket that earns `rate` a second and holds `burst` at most; false when it is empty.
#[inline(always)]
pub fn take(bucket: &mut BucketValue, rate: u32, burst: u32, now_ns: u64) -> bool {
    if rate == 0 {
        return false;
    }
    let per_token = SECOND_NS / u64::from(rate);
    let waited = now_ns.saturating_sub(bucket.filled_ns);
    let earned = waited.checked_div(per_token).unwrap_or(waited);
    if earned > 0 {
        let tokens = bucket.tokens.saturating_add(earned);
        let most = u64::from(burst);
        if tokens >= most {
            bucket.tokens = most;
            bucket.filled_ns = now_ns;
        } else {
            bucket.tokens = tokens;
            // What was waited for and made no whole token yet still counts.
            bucket.filled_ns += earned * per_token;
        }
    }
    if bucket.tokens > u64::from(burst) {
        bucket.tokens = u64::from(burst);
    }
    if bucket.tokens == 0 {
        return false;
    }
    bucket.tokens -= 1;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNTIL: u64 = 1_000;

    fn asked(mode: u32, now_ns: u64, token: bool) -> u16 {
        refuses(&ResponseValue { until_ns: UNTIL, mode, rate: 7 }, now_ns, |rate| {
            assert_eq!(rate, 7);
            token
        })
    }

    #[test]
    fn a_response_refuses_until_its_time_is_up() {
        assert_eq!(asked(MODE_DENY_NEW, 0, true), reason::RESPONSE_DENIED);
        assert_eq!(asked(MODE_DENY_NEW, UNTIL - 1, true), reason::RESPONSE_DENIED);
        assert_eq!(asked(MODE_DENY_NEW, UNTIL, true), reason::NONE);
        assert_eq!(asked(MODE_LIMIT, UNTIL, false), reason::NONE);
    }

    #[test]
    fn a_limit_asks_for_a_token_and_a_denial_does_not() {
        assert_eq!(asked(MODE_LIMIT, 0, true), reason::NONE);
        assert_eq!(asked(MODE_LIMIT, 0, false), reason::RESPONSE_LIMITED);
        let response = ResponseValue { until_ns: UNTIL, mode: MODE_DENY_NEW, rate: 0 };
        let denied = refuses(&response, 0, |_| panic!("a denial takes no token"));
        assert_eq!(denied, reason::RESPONSE_DENIED);
    }

    #[test]
    fn a_mode_that_is_not_known_refuses() {
        assert_eq!(asked(0, 0, true), reason::RESPONSE_DENIED);
        assert_eq!(asked(4711, 0, true), reason::RESPONSE_DENIED);
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let mut bucket = BucketValue { filled_ns: 0, tokens: 5 };
        let given = (0..20).filter(|_| take(&mut bucket, 10, 5, 0)).count();
        assert_eq!(given, 5);
        // Ten a second: one each 100 ms, also when it is asked every 30 ms.
        let given = (1..=100_u64).filter(|step| take(&mut bucket, 10, 5, step * 30_000_000)).count();
        assert_eq!(given, 30);
    }

    #[test]
    fn a_bucket_holds_no_more_than_its_burst() {
        let mut bucket = BucketValue { filled_ns: 0, tokens: 0 };
        let given = (0..20).filter(|_| take(&mut bucket, 1_000, 3, 60 * SECOND_NS)).count();
        assert_eq!(given, 3);
    }

    #[test]
    fn a_smaller_burst_holds_at_once() {
        let mut bucket = BucketValue { filled_ns: 5, tokens: 2_000 };
        assert_eq!((0..20).filter(|_| take(&mut bucket, 10, 4, 5)).count(), 4);
    }

    #[test]
    fn a_rate_of_nothing_gives_nothing_and_a_clock_that_falls_back_neither() {
        let mut bucket = BucketValue { filled_ns: 0, tokens: 3 };
        assert!(!take(&mut bucket, 0, 3, SECOND_NS));
        let mut bucket = BucketValue { filled_ns: 9 * SECOND_NS, tokens: 0 };
        assert!(!take(&mut bucket, 10, 5, SECOND_NS));
        assert_eq!(bucket, BucketValue { filled_ns: 9 * SECOND_NS, tokens: 0 });
    }

    #[test]
    fn a_rate_faster_than_the_clock_counts_still_gives() {
        let mut bucket = BucketValue { filled_ns: 0, tokens: 0 };
        assert!(take(&mut bucket, u32::MAX, 1, 1));
    }
}
