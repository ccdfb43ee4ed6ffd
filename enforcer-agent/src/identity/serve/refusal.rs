//! What callers are told when they are refused, and what the log is told: the first is the same for everybody
//! who is nobody, the second says why, and is not written more often than a person can read.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;
use tonic::Status;

use super::budget::Over;
use super::limits::REFUSAL_LOG_INTERVAL;
use crate::identity::attest::AttestError;

/// E-5: whoever has no identity is told this, whatever the reason.
pub(super) fn no_identity() -> Status {
    Status::permission_denied("no identity issued")
}

/// E-5: the agent ends, or the certificate is not there yet, so that it is worth coming back.
pub(super) fn later(what: &'static str) -> Status {
    Status::unavailable(what)
}

/// A bound of the caller's own was met. E-5 has no word for that; gRPC has.
pub(super) fn over(over: Over) -> Status {
    Status::resource_exhausted(over.to_string())
}

/// The name of the rule that somebody broke, for the log.
pub(super) const fn rule(error: &AttestError) -> &'static str {
    match error {
        AttestError::Gone => "process_gone",
        AttestError::Younger { .. } => "process_replaced",
        AttestError::NoWorkload { .. } => "no_workload",
        AttestError::Two { .. } => "two_workloads",
        AttestError::Kernel { .. } => "kernel_unwilling",
    }
}

/// Keeps refusals from filling the log.
#[derive(Debug, Default)]
pub(super) struct Quiet(Mutex<BTreeMap<&'static str, Said>>);

#[derive(Debug)]
struct Said {
    at: Instant,
    since: u64,
}

impl Quiet {
    /// Says it, with how often it went unsaid before, or counts it as unsaid.
    pub(super) fn say(&self, rule: &'static str, say: impl FnOnce(u64)) {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unsaid = match all.get_mut(rule) {
            Some(said) if now.duration_since(said.at) < REFUSAL_LOG_INTERVAL => {
                said.since += 1;
                return;
            }
            Some(said) => said.since,
            None => 0,
        };
        all.insert(rule, Said { at: now, since: 0 });
        drop(all);
        say(unsaid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_said_once_and_then_counted() {
        let quiet = Quiet::default();
        let mut said = Vec::new();
        for _ in 0..5 {
            quiet.say("a", |unsaid| said.push(unsaid));
        }
        quiet.say("b", |unsaid| said.push(unsaid));
        tokio::time::advance(REFUSAL_LOG_INTERVAL).await;
        quiet.say("a", |unsaid| said.push(unsaid));
        assert_eq!(said, [0, 0, 4]);
    }
}
