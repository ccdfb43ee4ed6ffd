//! `IdentityService`: what an operator asks of the identity wall.

use enforcer_core::identity::target::{Target, TargetError};
use enforcer_proto::v1::identity_service_server::IdentityService;
use enforcer_proto::v1::{
    self, EnrollNodeRequest, EnrollNodeResponse, IdentityMetricsRequest, IdentityMetricsResponse,
    ListIdentitiesRequest, ListIdentitiesResponse, RestoreIdentityRequest, RestoreIdentityResponse,
    RevokeIdentityRequest, RevokeIdentityResponse, RotateIdentityRequest, RotateIdentityResponse,
    ShowIdentityRequest, ShowIdentityResponse,
};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use super::status;
use crate::admin::caller::Caller;
use crate::admin::guard;
use crate::door::identity::{Answer, Command, Enrolled, IdentityDoor, Order, Refused};

/// Bytes of a reason that is kept for the record.
const REASON_MAX_BYTES: usize = 512;

/// The calls of `IdentityService`; without a door the wall was turned off.
pub(in crate::admin) struct IdentityCalls {
    door: Option<IdentityDoor>,
}

impl IdentityCalls {
    pub(in crate::admin) const fn new(door: Option<IdentityDoor>) -> Self {
        Self { door }
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Status> {
        let off =
            || Status::failed_precondition("the identity wall is turned off: `identity.enabled` is false");
        self.door.as_ref().ok_or_else(off)?.ask(command).await.map_err(status::closed)
    }
}

#[tonic::async_trait]
impl IdentityService for IdentityCalls {
    async fn list(
        &self,
        request: Request<ListIdentitiesRequest>,
    ) -> Result<Response<ListIdentitiesResponse>, Status> {
        let tenant = request.into_inner().tenant;
        if self.door.is_none() {
            let health = v1::IdentityHealth { ready: true, ..v1::IdentityHealth::default() };
            let answer = ListIdentitiesResponse { health: Some(health), ..Default::default() };
            return Ok(Response::new(answer));
        }
        let answer = self.ask(|reply| Command::List(tenant.map(Into::into), reply)).await?;
        Ok(Response::new(answer))
    }

    async fn show(
        &self,
        request: Request<ShowIdentityRequest>,
    ) -> Result<Response<ShowIdentityResponse>, Status> {
        let workload = request.into_inner().workload;
        let unknown = Status::not_found("this node has no such workload");
        let answer = self.ask(|reply| Command::Show(workload.into(), reply)).await?;
        answer.map(Response::new).ok_or(unknown)
    }

    async fn revoke(
        &self,
        request: Request<RevokeIdentityRequest>,
    ) -> Result<Response<RevokeIdentityResponse>, Status> {
        let author = guard::caller(&request).to_string();
        let RevokeIdentityRequest { target, reason } = request.into_inner();
        if reason.is_empty() || reason.len() > REASON_MAX_BYTES {
            let message = format!("say why, in 1 to {REASON_MAX_BYTES} bytes: it goes on record");
            return Err(Status::invalid_argument(message));
        }
        let order = Order { target: target.try_into().map_err(no_target)?, reason, author };
        let answer = self.ask(|reply| Command::Revoke(order, reply)).await?;
        Ok(Response::new(RevokeIdentityResponse { workloads: done(answer)? }))
    }

    async fn restore(
        &self,
        request: Request<RestoreIdentityRequest>,
    ) -> Result<Response<RestoreIdentityResponse>, Status> {
        let author = guard::caller(&request).to_string();
        let target = request.into_inner().target.try_into().map_err(no_target)?;
        let order = Order { target, reason: String::new(), author };
        let answer = self.ask(|reply| Command::Restore(order, reply)).await?;
        Ok(Response::new(RestoreIdentityResponse { workloads: done(answer)? }))
    }

    async fn rotate(
        &self,
        request: Request<RotateIdentityRequest>,
    ) -> Result<Response<RotateIdentityResponse>, Status> {
        let RotateIdentityRequest { target, authority } = request.into_inner();
        let target = target.map(|target| Target::try_from(Some(target))).transpose().map_err(no_target)?;
        if authority {
            let trust_domains = done(self.ask(|reply| Command::RotateAuthority(target, reply)).await?)?;
            return Ok(Response::new(RotateIdentityResponse { trust_domains, workloads: Vec::new() }));
        }
        let workloads = done(self.ask(|reply| Command::Rotate(target, reply)).await?)?;
        Ok(Response::new(RotateIdentityResponse { workloads, trust_domains: Vec::new() }))
    }

    async fn enroll_node(
        &self,
        request: Request<EnrollNodeRequest>,
    ) -> Result<Response<EnrollNodeResponse>, Status> {
        // A control plane pushes policy; who becomes a node is for the operator at the authority to say.
        let Caller::Local { .. } = guard::caller(&request) else {
            return Err(Status::permission_denied("nodes are enrolled at the authority's own socket"));
        };
        let EnrollNodeRequest { node, csr } = request.into_inner();
        let answer = self.ask(|reply| Command::Enroll(node, csr, reply)).await?;
        let Enrolled { chain, authorities_pem } = answer.map_err(refused)?;
        let certificates = chain.into_iter().map(|one| one.to_vec()).collect();
        Ok(Response::new(EnrollNodeResponse { certificates, authorities_pem }))
    }

    async fn metrics(
        &self,
        _: Request<IdentityMetricsRequest>,
    ) -> Result<Response<IdentityMetricsResponse>, Status> {
        let text = self.ask(Command::Metrics).await?;
        Ok(Response::new(IdentityMetricsResponse { text }))
    }
}

fn no_target(error: TargetError) -> Status {
    Status::invalid_argument(error.to_string())
}

fn done(answer: Answer) -> Result<Vec<String>, Status> {
    answer.map_err(refused)
}

fn refused(refused: Refused) -> Status {
    match refused {
        Refused::Unknown(_) => Status::not_found(refused.to_string()),
        Refused::Upstream(_) => Status::unavailable(refused.to_string()),
        Refused::Senseless(_) => Status::invalid_argument(refused.to_string()),
    }
}
