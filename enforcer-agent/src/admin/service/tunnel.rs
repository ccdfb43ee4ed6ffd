//! `TunnelService`: what an operator asks of the tunnel.

use enforcer_proto::v1::tunnel_service_server::TunnelService;
use enforcer_proto::v1::{
    ListTunnelsRequest, ListTunnelsResponse, TunnelMetricsRequest, TunnelMetricsResponse,
};
use tonic::{Request, Response, Status};

use super::status;
use crate::door::tunnel::{Command, TunnelDoor};

/// The calls of `TunnelService`; without a door the node has no tunnel.
pub(in crate::admin) struct TunnelCalls {
    door: Option<TunnelDoor>,
}

impl TunnelCalls {
    pub(in crate::admin) const fn new(door: Option<TunnelDoor>) -> Self {
        Self { door }
    }
}

#[tonic::async_trait]
impl TunnelService for TunnelCalls {
    /// Nothing is carried where there is no tunnel; why there is none is a capability in `Status`.
    async fn list(
        &self,
        request: Request<ListTunnelsRequest>,
    ) -> Result<Response<ListTunnelsResponse>, Status> {
        let Some(door) = &self.door else { return Ok(Response::new(ListTunnelsResponse::default())) };
        let tenant = request.into_inner().tenant;
        let answer = door.ask(|reply| Command::List(tenant.map(Into::into), reply)).await;
        answer.map(Response::new).map_err(status::closed)
    }

    async fn metrics(
        &self,
        _: Request<TunnelMetricsRequest>,
    ) -> Result<Response<TunnelMetricsResponse>, Status> {
        let off = "this node has no tunnel: turn `identity.enabled` and `tunnel.enabled` on; the capability \
                   `mtls-tunnel` in the status says what else it lacks";
        let door = self.door.as_ref().ok_or_else(|| Status::failed_precondition(off))?;
        let text = door.ask(Command::Metrics).await.map_err(status::closed)?;
        Ok(Response::new(TunnelMetricsResponse { text }))
    }
}
