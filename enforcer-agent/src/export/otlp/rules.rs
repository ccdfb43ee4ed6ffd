//! What a collector's answer means, as the OTLP specification has it ("Failures", "Partial Success"), and how long to wait.

use std::error::Error as _;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The first wait.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait that is our own choice.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The longest wait that a collector may ask for.
const ASKED_MAX: Duration = Duration::from_secs(3_600);

/// What is to be done with a batch that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Again, after our own wait or the one that the collector asks for.
    Retry(Option<Duration>),
    /// "the client MUST NOT retry ... and the telemetry data MUST be dropped."
    Drop,
}

/// What a failure asks for.
pub(super) fn after(status: &Status) -> Next {
    // No answer of the collector's: the connection broke, or could not be made.
    if status.source().is_some() {
        return Next::Retry(None);
    }
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let asked = asked.map(|delay| delay.min(ASKED_MAX));
    match status.code() {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Next::Retry(asked),
        // "SHOULD be considered as retryable only if the server can recover": it says so by saying when.
        Code::ResourceExhausted if asked.is_some() => Next::Retry(asked),
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Internal
        | Code::Unauthenticated => Next::Drop,
    }
}

/// Grows with each failure, and is spread, so that a fleet does not come back at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(WAIT_MIN)
    }

    /// The next wait: between half of it and all of it, by a number in `0.0..1.0`.
    pub(super) fn next(&mut self, chance: f64) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(WAIT_MAX);
        wait.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// A number in `0.0..1.0`: for spreading, not for secrets.
pub(super) fn chance() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn codes_are_retried_as_the_specification_says() {
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            assert_eq!(after(&Status::new(code, "")), Next::Retry(None), "{code:?}");
        }
        for code in [
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::ResourceExhausted,
            Code::FailedPrecondition,
            Code::Unimplemented,
            Code::Internal,
            Code::Unauthenticated,
        ] {
            assert_eq!(after(&Status::new(code, "")), Next::Drop, "{code:?}");
        }
    }

    #[test]
    fn a_collector_says_when_to_come_back() {
        let asks = |code, seconds| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
            after(&Status::with_error_details(code, "", details))
        };
        assert_eq!(asks(Code::ResourceExhausted, 7), Next::Retry(Some(Duration::from_secs(7))));
        assert_eq!(asks(Code::Unavailable, 86_400), Next::Retry(Some(ASKED_MAX)));
        assert_eq!(asks(Code::InvalidArgument, 7), Next::Drop);
    }

    #[test]
    fn a_broken_connection_is_no_answer() {
        let broken = Status::from_error(Box::new(std::io::Error::other("broken")));
        assert_eq!(broken.code(), Code::Unknown);
        assert_eq!(after(&broken), Next::Retry(None));
    }

    #[test]
    fn waits_grow_up_to_a_bound_and_are_spread() {
        let mut backoff = Backoff::new();
        let longest: Vec<u64> = (0..7).map(|_| backoff.next(1.0).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(Backoff::new().next(0.0), Duration::from_millis(500));
        assert!((0.0..1.0).contains(&chance()));
    }
}
