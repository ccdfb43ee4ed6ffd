//! `DeviceService`: what an operator asks of devices. The rooms know what the words mean; here they are bounded.

use std::time::Duration;

use enforcer_proto::v1;
use enforcer_proto::v1::device_service_server::DeviceService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};

use super::status;
use crate::admin::guard;
use crate::door::device::{
    CustodyCommand, DeviceDoors, Door, HandleCommand, Handover, PostureCommand, Reply, Revocation, STEPS_MAX,
};
use crate::door::policy::PolicyDoor;

/// Bytes of a name that is looked up.
const NAME_MAX_BYTES: usize = 253;
/// Bytes of a reason.
const REASON_MAX_BYTES: usize = 1024;
/// How long a revocation may be asked to take.
const DEADLINE_MAX: Duration = Duration::from_secs(600);

type Steps<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The calls of `DeviceService`.
pub(in crate::admin) struct DeviceCalls {
    doors: DeviceDoors,
    policy: PolicyDoor,
}

impl DeviceCalls {
    pub(in crate::admin) const fn new(doors: DeviceDoors, policy: PolicyDoor) -> Self {
        Self { doors, policy }
    }
}

async fn ask<C, T>(
    door: Option<&Door<C>>,
    what: &str,
    command: impl FnOnce(Reply<T>) -> C,
) -> Result<T, Status> {
    let off = || Status::failed_precondition(format!("{what} is turned off on this node"));
    let answer = door.ok_or_else(off)?.ask(command).await.map_err(status::closed)?;
    answer.map_err(Status::failed_precondition)
}

fn bounded(what: &str, text: &str, most: usize) -> Result<(), Status> {
    if text.len() > most {
        return Err(Status::invalid_argument(format!("{what}: more than {most} bytes")));
    }
    Ok(())
}

fn streamed<T: Send + 'static>(steps: mpsc::Receiver<T>) -> Response<Steps<T>> {
    Response::new(Box::pin(ReceiverStream::new(steps).map(Ok)))
}

#[tonic::async_trait]
impl DeviceService for DeviceCalls {
    type RevokeStream = Steps<v1::RevokeStep>;
    type HandoverStream = Steps<v1::HandoverStep>;

    async fn handles(
        &self,
        request: Request<v1::HandlesRequest>,
    ) -> Result<Response<v1::HandlesResponse>, Status> {
        guard::operator(&request)?;
        let request = request.into_inner();
        for (what, text) in [("tenant", &request.tenant), ("device", &request.device)] {
            bounded(what, text.as_deref().unwrap_or_default(), NAME_MAX_BYTES)?;
        }
        let command = |reply| HandleCommand::Handles(request, reply);
        ask(self.doors.handles.as_ref(), "the ledger of handles", command).await.map(Response::new)
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<Self::RevokeStream>, Status> {
        guard::operator(&request)?;
        let actor = guard::caller(&request).to_string();
        let request = request.into_inner();
        bounded("reason", &request.reason, REASON_MAX_BYTES)?;
        match &request.of {
            Some(v1::revoke_request::Of::Device(name) | v1::revoke_request::Of::Tenant(name)) => {
                bounded("name", name, NAME_MAX_BYTES)?;
            }
            None => return Err(Status::invalid_argument("name a device or a tenant")),
        }
        let deadline = Duration::from_millis(u64::from(request.deadline_ms.unwrap_or(0)));
        if deadline > DEADLINE_MAX {
            return Err(Status::invalid_argument("deadline: more than ten minutes"));
        }
        let (told, steps) = mpsc::channel(STEPS_MAX);
        let command = |reply| HandleCommand::Revoke(Revocation { request, actor }, told, reply);
        ask(self.doors.handles.as_ref(), "the ledger of handles", command).await?;
        Ok(streamed(steps))
    }

    async fn custody(
        &self,
        request: Request<v1::CustodyRequest>,
    ) -> Result<Response<v1::CustodyResponse>, Status> {
        guard::operator(&request)?;
        ask(self.doors.custody.as_ref(), "custody", CustodyCommand::List).await.map(Response::new)
    }

    async fn handover(
        &self,
        request: Request<v1::HandoverRequest>,
    ) -> Result<Response<Self::HandoverStream>, Status> {
        guard::operator(&request)?;
        let actor = guard::caller(&request).to_string();
        let request = request.into_inner();
        bounded("device", &request.device, NAME_MAX_BYTES)?;
        bounded("reason", &request.reason, REASON_MAX_BYTES)?;
        let (told, steps) = mpsc::channel(STEPS_MAX);
        let command = |reply| CustodyCommand::Handover(Handover { request, actor }, told, reply);
        ask(self.doors.custody.as_ref(), "custody", command).await?;
        Ok(streamed(steps))
    }

    async fn receipts(
        &self,
        request: Request<v1::ReceiptsRequest>,
    ) -> Result<Response<v1::ReceiptsResponse>, Status> {
        guard::operator(&request)?;
        let request = request.into_inner();
        bounded("device", request.device.as_deref().unwrap_or_default(), NAME_MAX_BYTES)?;
        let command = |reply| CustodyCommand::Receipts(request, reply);
        ask(self.doors.custody.as_ref(), "custody", command).await.map(Response::new)
    }

    async fn posture(
        &self,
        request: Request<v1::PostureRequest>,
    ) -> Result<Response<v1::PostureResponse>, Status> {
        guard::operator(&request)?;
        ask(self.doors.posture.as_ref(), "posture", PostureCommand::Read).await.map(Response::new)
    }

    async fn drill(&self, request: Request<v1::DrillRequest>) -> Result<Response<v1::DrillResponse>, Status> {
        guard::operator(&request)?;
        let hooks = self.policy.prove_hooks().await.map_err(status::closed)?.map_err(status::unreadable)?;
        let verbs = ask(self.doors.handles.as_ref(), "the ledger of handles", HandleCommand::Drill).await?;
        let hooks = hooks.into_iter().map(super::node::hook).collect();
        Ok(Response::new(v1::DrillResponse { hooks, verbs }))
    }
}
