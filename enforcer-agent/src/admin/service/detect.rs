//! `DetectionService`: what an operator asks of detection.

use enforcer_proto::v1::detection_service_server::DetectionService;
use enforcer_proto::v1::{
    EndResponseRequest, EndResponseResponse, FreezeRequest, FreezeResponse, ListDetectionRequest,
    ListDetectionResponse,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::status;
use crate::admin::guard;
use crate::door::detect::{Command, DetectDoor, End, Freeze, Refused};

/// Bytes of a name, or of a response's number, that is looked up.
const NAME_MAX_BYTES: usize = 253;

/// The calls of `DetectionService`; without a door detection was turned off.
pub(in crate::admin) struct DetectCalls {
    door: Option<DetectDoor>,
}

impl DetectCalls {
    pub(in crate::admin) const fn new(door: Option<DetectDoor>) -> Self {
        Self { door }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Status> {
        let off = || Status::failed_precondition("detection is turned off: `detection.enabled` is false");
        self.door.as_ref().ok_or_else(off)?.ask(command).await.map_err(status::closed)
    }
}

#[tonic::async_trait]
impl DetectionService for DetectCalls {
    async fn list(
        &self,
        request: Request<ListDetectionRequest>,
    ) -> Result<Response<ListDetectionResponse>, Status> {
        let tenant = request.into_inner().tenant.map(|tenant| named("tenant", tenant)).transpose()?;
        let answer = self.ask(|reply| Command::List(tenant.map(Into::into), reply)).await?;
        Ok(Response::new(answer))
    }

    async fn freeze(&self, request: Request<FreezeRequest>) -> Result<Response<FreezeResponse>, Status> {
        let actor = guard::caller(&request).to_string();
        let FreezeRequest { tenant, rule, frozen } = request.into_inner();
        let tenant = named("tenant", tenant)?.into();
        let rule = if rule.is_empty() { None } else { Some(named("rule", rule)?.into()) };
        let freeze = Freeze { tenant, rule, frozen, actor };
        let baselines = self.ask(|reply| Command::Freeze(freeze, reply)).await?.map_err(refused)?;
        Ok(Response::new(FreezeResponse { baselines }))
    }

    async fn end_response(
        &self,
        request: Request<EndResponseRequest>,
    ) -> Result<Response<EndResponseResponse>, Status> {
        let actor = guard::caller(&request).to_string();
        let id = named("id", request.into_inner().id)?;
        let response = self.ask(|reply| Command::End(End { id, actor }, reply)).await?.map_err(refused)?;
        Ok(Response::new(EndResponseResponse { response: Some(response) }))
    }
}

fn named(field: &str, text: String) -> Result<String, Status> {
    if text.is_empty() || text.len() > NAME_MAX_BYTES {
        return Err(Status::invalid_argument(format!("{field} is to have 1 to {NAME_MAX_BYTES} bytes")));
    }
    Ok(text)
}

fn refused(refused: Refused) -> Status {
    match refused {
        Refused::NoBaseline(_) | Refused::NoResponse(_) => Status::not_found(refused.to_string()),
    }
}
