//! `TraceService`: what was recorded and kept, for those whom it belongs to.

use enforcer_proto::v1::trace_service_server::TraceService;
use enforcer_proto::v1::{
    self, DestroyRequest, DestroyResponse, ObserveRequest, QueryRequest, SummaryRequest, SummaryResponse,
    TraceStatusRequest, TraceStatusResponse, UnwrapRequest, UnwrapResponse,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::status;
use crate::admin::guard;
use crate::door::records::Scope;
use crate::door::stop::Stop;
use crate::door::trace::{AHEAD_MAX, Command, Destroy, Found, Refused, TraceDoor, Unwrap};

/// Bytes of a reason that goes into the receipt.
const REASON_MAX_BYTES: usize = 512;
/// Bytes of the names and keys that an unwrap may bring.
const WRAPPED_MAX_BYTES: usize = 1_024;

/// The calls of `TraceService`; without a door nothing is kept.
pub(in crate::admin) struct TraceCalls {
    door: Option<TraceDoor>,
    stop: Stop,
}

impl TraceCalls {
    pub(in crate::admin) const fn new(door: Option<TraceDoor>, stop: Stop) -> Self {
        Self { door, stop }
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Refused>>) -> Command,
    ) -> Result<T, Status> {
        let off = || {
            Status::failed_precondition(
                "this node keeps no traces: turn `identity.enabled` and `trace.enabled` on in its configuration",
            )
        };
        let door = self.door.as_ref().ok_or_else(off)?;
        door.ask(command).await.map_err(status::closed)?.map_err(refused)
    }
}

/// Whose records the caller of a call may see.
fn scope<T>(request: &Request<T>) -> Result<Scope, Status> {
    guard::scope(&guard::caller(request))
}

#[tonic::async_trait]
impl TraceService for TraceCalls {
    type QueryStream = ReceiverStream<Result<v1::Record, Status>>;
    type StreamStream = ReceiverStream<Result<v1::Record, Status>>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let scope = scope(&request)?;
        let query = Box::new(request.into_inner());
        if query.filter.as_ref().is_some_and(|filter| filter.follow) {
            return Err(Status::invalid_argument("a query ends: `Stream` goes on"));
        }
        let found = self.ask(|reply| Command::Query(query, scope, reply)).await?;
        Ok(Response::new(hand_on(found, self.stop.clone())))
    }

    async fn summary(&self, request: Request<SummaryRequest>) -> Result<Response<SummaryResponse>, Status> {
        let scope = scope(&request)?;
        let summary = Box::new(request.into_inner());
        self.ask(|reply| Command::Summary(summary, scope, reply)).await.map(Response::new)
    }

    async fn status(
        &self,
        request: Request<TraceStatusRequest>,
    ) -> Result<Response<TraceStatusResponse>, Status> {
        let scope = scope(&request)?;
        self.ask(|reply| Command::Status(scope, reply)).await.map(Response::new)
    }

    async fn stream(&self, request: Request<ObserveRequest>) -> Result<Response<Self::StreamStream>, Status> {
        let scope = scope(&request)?;
        let mut observe = request.into_inner();
        // It is what the call is for; who wants an end asks `Query`.
        observe.follow = true;
        let found = self.ask(|reply| Command::Stream(Box::new(observe), scope, reply)).await?;
        Ok(Response::new(hand_on(found, self.stop.clone())))
    }

    async fn unwrap(&self, request: Request<UnwrapRequest>) -> Result<Response<UnwrapResponse>, Status> {
        guard::operator(&request)?;
        let actor = guard::caller(&request).to_string();
        let UnwrapRequest { master_key_id, wrapped_key } = request.into_inner();
        if master_key_id.len() > WRAPPED_MAX_BYTES || wrapped_key.len() > WRAPPED_MAX_BYTES {
            let message = format!("neither word of an unwrap has more than {WRAPPED_MAX_BYTES} bytes");
            return Err(Status::invalid_argument(message));
        }
        let unwrap = Unwrap { master_key_id, wrapped_key, actor };
        let key = self.ask(|reply| Command::Unwrap(unwrap, reply)).await?;
        Ok(Response::new(UnwrapResponse { key: key.to_vec() }))
    }

    async fn seal(
        &self,
        request: Request<TraceStatusRequest>,
    ) -> Result<Response<TraceStatusResponse>, Status> {
        guard::operator(&request)?;
        self.ask(Command::Seal).await?;
        self.ask(|reply| Command::Status(Scope::Everything, reply)).await.map(Response::new)
    }

    async fn destroy(&self, request: Request<DestroyRequest>) -> Result<Response<DestroyResponse>, Status> {
        guard::operator(&request)?;
        let actor = guard::caller(&request).to_string();
        let DestroyRequest { tenant, reason } = request.into_inner();
        if reason.is_empty() || reason.len() > REASON_MAX_BYTES {
            let message = format!("say why, in 1 to {REASON_MAX_BYTES} bytes: it stands in the receipt");
            return Err(Status::invalid_argument(message));
        }
        let destroy = Destroy { tenant, reason, actor };
        let receipt = self.ask(|reply| Command::Destroy(destroy, reply)).await?;
        Ok(Response::new(DestroyResponse { receipt }))
    }
}

/// Hands records on until there are no more, nobody takes them, or the agent stops. Whoever takes them slowly is waited
/// for.
pub(super) fn hand_on(mut found: Found, mut stop: Stop) -> ReceiverStream<Result<v1::Record, Status>> {
    let (ahead, stream) = mpsc::channel(AHEAD_MAX);
    tokio::spawn(async move {
        loop {
            let found = tokio::select! {
                () = ahead.closed() => return,
                () = stop.wait() => {
                    let _gone = ahead.send(Err(status::closed(crate::door::policy::Closed))).await;
                    return;
                }
                found = found.recv() => found,
            };
            let Some(found) = found else { return };
            if ahead.send(found.map_err(refused)).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}

pub(super) fn refused(refused: Refused) -> Status {
    let text = refused.to_string();
    match refused {
        Refused::Senseless(_) => Status::invalid_argument(text),
        Refused::Unknown(_) => Status::not_found(text),
        Refused::Gone(_) => Status::failed_precondition(text),
        Refused::Busy(_) => Status::resource_exhausted(text),
        Refused::Late(_) => Status::deadline_exceeded(text),
        Refused::Away(_) => Status::unavailable(text),
        Refused::Damaged(_) => Status::data_loss(text),
    }
}
