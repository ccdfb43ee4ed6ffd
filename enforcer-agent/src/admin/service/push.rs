//! A control plane's stream: one request at a time, each answered by an ACK or a NACK with its nonce.

use std::collections::HashSet;
use std::time::Instant;

use enforcer_core::policy::problem::Problem;
use enforcer_proto::v1::{Ack, Nack, PushRequest, PushResponse, push_response};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::status;
use super::submission;
use super::time::duration;
use crate::admin::caller::Caller;
use crate::admin::limits::{NONCE_MAX_BYTES, NONCES_MAX};
use crate::door::policy::{Accepted, PolicyDoor, Refusal};
use crate::door::stop::Stop;

/// One stream.
pub(super) struct Push {
    pub(super) door: PolicyDoor,
    pub(super) caller: Caller,
    pub(super) stop: Stop,
    pub(super) nonces: Nonces,
}

impl Push {
    /// Reads and answers until either side is gone.
    pub(super) async fn run(
        mut self,
        mut requests: Streaming<PushRequest>,
        answers: mpsc::Sender<Result<PushResponse, Status>>,
    ) {
        loop {
            let request = tokio::select! {
                () = answers.closed() => return,
                () = self.stop.wait() => {
                    let _gone = answers.send(Err(status::closed(crate::door::policy::Closed))).await;
                    return;
                }
                request = requests.message() => request,
            };
            let answer = match request {
                Ok(Some(request)) => self.answer(request).await,
                Ok(None) => return,
                // The transport's own words: too large, cut off, not a message.
                Err(status) => Err(status),
            };
            let last = answer.is_err();
            if answers.send(answer).await.is_err() || last {
                return;
            }
        }
    }

    async fn answer(&mut self, request: PushRequest) -> Result<PushResponse, Status> {
        let received = Instant::now();
        let nonce = request.nonce.clone();
        let result = match self.nonces.take(&nonce)? {
            Some(problem) => Err(self.refusal(problem)),
            None => match submission::of_push(request, &self.caller, received) {
                Err(problem) => Err(self.refusal(problem)),
                Ok(submission) => self.door.apply(submission).await.map_err(status::closed)?,
            },
        };
        let result = match result {
            Ok(accepted) => push_response::Result::Ack(ack(accepted)),
            Err(refusal) => push_response::Result::Nack(nack(refusal)),
        };
        // What no nonce can be is not sent back either.
        let nonce = if nonce.len() <= NONCE_MAX_BYTES { nonce } else { String::new() };
        Ok(PushResponse { nonce, result: Some(result) })
    }

    fn refusal(&self, problem: Problem) -> Refusal {
        Refusal { problems: vec![problem], revision_in_force: self.door.in_force().current.number }
    }
}

/// Nonces that were used, by a part of their SHA-256.
#[derive(Debug, Default)]
pub(super) struct Nonces(HashSet<u128>);

impl Nonces {
    /// Takes a nonce; a problem says why it cannot be one.
    fn take(&mut self, nonce: &str) -> Result<Option<Problem>, Status> {
        if nonce.is_empty() || nonce.len() > NONCE_MAX_BYTES {
            let message = format!("a nonce has 1 to {NONCE_MAX_BYTES} bytes, and this one {}", nonce.len());
            return Ok(Some(Problem::new("invalid_nonce", "nonce", message)));
        }
        if self.0.len() >= NONCES_MAX {
            return Err(Status::resource_exhausted(format!(
                "a stream takes {NONCES_MAX} pushes; open another one"
            )));
        }
        let digest: [u8; 32] = Sha256::digest(nonce.as_bytes()).into();
        let (half, _) = digest.split_at(16);
        let key = half.try_into().map(u128::from_be_bytes).unwrap_or_default();
        if self.0.insert(key) {
            return Ok(None);
        }
        Ok(Some(Problem::new(
            "replayed_nonce",
            "nonce",
            "it was used before on this stream; each push has its own",
        )))
    }
}

/// The kernel holds it.
pub(super) fn ack(accepted: Accepted) -> Ack {
    let Accepted { revision, digest, elapsed, warnings } = accepted;
    Ack { revision, digest: digest.to_vec(), time_to_enforcement: Some(duration(elapsed)), warnings }
}

fn nack(refusal: Refusal) -> Nack {
    let Refusal { problems, revision_in_force } = refusal;
    Nack { problems: problems.into_iter().map(Into::into).collect(), revision_in_force }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_taken_once() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.take("a").unwrap(), None);
        assert_eq!(nonces.take("b").unwrap(), None);
        assert_eq!(nonces.take("a").unwrap().unwrap().code, "replayed_nonce");
        assert_eq!(nonces.take("").unwrap().unwrap().code, "invalid_nonce");
        assert_eq!(nonces.take(&"x".repeat(129)).unwrap().unwrap().code, "invalid_nonce");
    }
}
