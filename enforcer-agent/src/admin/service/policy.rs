//! `PolicyService`.

use std::pin::Pin;
use std::time::Instant;

use enforcer_core::policy::model::UnixNanos;
use enforcer_core::policy::wire;
use enforcer_proto::v1::policy_service_server::PolicyService;
use enforcer_proto::v1::{
    ApplyRequest, ApplyResponse, ExplainRequest, ExplainResponse, GetRequest, GetResponse,
    ListRevisionsRequest, ListRevisionsResponse, PolicyChange, PushRequest, PushResponse, RollbackRequest,
    ValidateResponse, WatchRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::explain::explain;
use super::push::{Nonces, Push, ack};
use super::{revision, status, submission};
use crate::admin::guard::caller;
use crate::door::policy::{PolicyDoor, Rollback, Submission};
use crate::door::stop::Stop;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The calls of `PolicyService`.
pub(in crate::admin) struct PolicyCalls {
    door: PolicyDoor,
    clock: fn() -> UnixNanos,
    stop: Stop,
}

impl PolicyCalls {
    pub(in crate::admin) const fn new(door: PolicyDoor, clock: fn() -> UnixNanos, stop: Stop) -> Self {
        Self { door, clock, stop }
    }
}

#[tonic::async_trait]
impl PolicyService for PolicyCalls {
    type PushStream = Answers<PushResponse>;
    type WatchStream = Answers<PolicyChange>;

    async fn push(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        let push = Push {
            door: self.door.clone(),
            caller: caller(&request),
            stop: self.stop.clone(),
            nonces: Nonces::default(),
        };
        // One answer on its way at a time: who does not read is not read from.
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(push.run(request.into_inner(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let submission = submitted(request).await?;
        let accepted = self
            .door
            .apply(submission)
            .await
            .map_err(status::closed)?
            .map_err(|refusal| status::refused(&refusal))?;
        Ok(Response::new(ApplyResponse { ack: Some(ack(accepted)) }))
    }

    async fn validate(&self, request: Request<ApplyRequest>) -> Result<Response<ValidateResponse>, Status> {
        let submission = submitted(request).await?;
        let answer = match self.door.validate(submission).await.map_err(status::closed)? {
            Ok(forecast) => ValidateResponse {
                problems: Vec::new(),
                warnings: forecast.warnings,
                diff: Some(forecast.diff),
            },
            Err(refusal) => ValidateResponse {
                problems: refusal.problems.into_iter().map(Into::into).collect(),
                ..ValidateResponse::default()
            },
        };
        Ok(Response::new(answer))
    }

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let number = request.into_inner().revision;
        let Some(found) = revision::find(&self.door.in_force(), number) else {
            return Err(Status::not_found("this revision is not kept; `ListRevisions` tells which are"));
        };
        let response = apart(move || GetResponse {
            revision: found.number,
            snapshot: Some(wire::snapshot(&found.policy)),
            digest: found.digest.map(Vec::from).unwrap_or_default(),
        })
        .await?;
        Ok(Response::new(response))
    }

    async fn list_revisions(
        &self,
        _: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        Ok(Response::new(ListRevisionsResponse { revisions: revision::list(&self.door.in_force()) }))
    }

    async fn rollback(&self, request: Request<RollbackRequest>) -> Result<Response<ApplyResponse>, Status> {
        let rollback = Rollback {
            author: caller(&request).to_string(),
            revision: request.into_inner().revision,
            received: Instant::now(),
        };
        let accepted = self
            .door
            .rollback(rollback)
            .await
            .map_err(status::closed)?
            .map_err(|refusal| status::refused(&refusal))?;
        Ok(Response::new(ApplyResponse { ack: Some(ack(accepted)) }))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        explain(&self.door, request.into_inner(), (self.clock)()).await.map(Response::new)
    }

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut last = None;
        let changes = WatchStream::new(self.door.watch()).filter_map(move |in_force| {
            let current = &in_force.current;
            // The node may change under a revision; that is no change of the policy.
            let news = last.replace(current.number) != Some(current.number);
            news.then(|| Ok(PolicyChange { revision: Some(revision::message(current, true)) }))
        });
        let mut stop = self.stop.clone();
        let (news, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut changes = std::pin::pin!(changes);
            loop {
                let change = tokio::select! {
                    () = news.closed() => return,
                    () = stop.wait() => return,
                    change = changes.next() => change,
                };
                let Some(change) = change else { return };
                if news.send(change).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

async fn submitted(request: Request<ApplyRequest>) -> Result<Submission, Status> {
    let received = Instant::now();
    let caller = caller(&request);
    let message = request.into_inner();
    apart(move || submission::of_apply(message, &caller, received))
        .await?
        .map_err(|problem| status::of_problems(&[problem]))
}

/// Runs what takes long where nobody waits behind it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Status::internal("the answer could not be made"))
}
