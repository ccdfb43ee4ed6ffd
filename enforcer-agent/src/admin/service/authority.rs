//! What a node asks of its authority. The caller is a node by its certificate, and is given only what concerns the
//! tenants that the policy places on it. Refusals say nothing that a stranger could use; the log knows more.

mod streams;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::v1::authority_service_server::AuthorityService;
use enforcer_proto::v1::{
    CertificateChain, IssueJwtSvidRequest, IssueJwtSvidResponse, IssueNodeCaRequest, IssueNodeSvidRequest,
    Trust, WatchTrustRequest,
};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::admin::caller::Caller;
use crate::admin::guard::caller;
use crate::door::stop::Stop;
use crate::door::upstream::{PERMISSION_DENIED, REVOKED};
use crate::door::upstream::{Upstream, UpstreamError};
use streams::Streams;
use view::View;

/// The service.
#[derive(Clone)]
pub(in crate::admin) struct AuthorityCalls {
    upstream: Arc<dyn Upstream>,
    view: View,
    streams: Streams,
    stop: Stop,
}

impl AuthorityCalls {
    /// A service that asks `upstream`, and shows each node what the policy places on it.
    pub(in crate::admin) fn new(
        upstream: Arc<dyn Upstream>,
        entitlements: watch::Receiver<Arc<Entitlements>>,
        own_node: String,
        stop: Stop,
    ) -> Self {
        let view = View { trust: upstream.trust(), entitlements, own_node };
        Self { upstream, view, streams: Streams::default(), stop }
    }
}

#[tonic::async_trait]
impl AuthorityService for AuthorityCalls {
    async fn issue_node_ca(
        &self,
        request: Request<IssueNodeCaRequest>,
    ) -> Result<Response<CertificateChain>, Status> {
        let node = node(&request)?;
        let IssueNodeCaRequest { trust_domain, csr } = request.into_inner();
        let domain: TrustDomain = trust_domain.parse().map_err(|error| malformed(&error))?;
        let issued = self.upstream.node_ca(&node, &domain, &csr).await;
        issued.map(chain).map_err(|error| refusal(&node, "a node CA", &error))
    }

    async fn issue_node_svid(
        &self,
        request: Request<IssueNodeSvidRequest>,
    ) -> Result<Response<CertificateChain>, Status> {
        let node = node(&request)?;
        let issued = self.upstream.node_svid(&node, &request.into_inner().csr).await;
        issued.map(chain).map_err(|error| refusal(&node, "its SVID", &error))
    }

    async fn issue_jwt_svid(
        &self,
        request: Request<IssueJwtSvidRequest>,
    ) -> Result<Response<IssueJwtSvidResponse>, Status> {
        let node = node(&request)?;
        let IssueJwtSvidRequest { spiffe_id, audience, lifetime } = request.into_inner();
        let id = spiffe_id.parse().map_err(|error| malformed(&error))?;
        let lifetime = Duration::try_from(lifetime.unwrap_or_default()).map_err(|error| malformed(&error))?;
        let issued = self.upstream.jwt_svid(&node, &id, &audience, lifetime).await;
        issued
            .map(|token| Response::new(IssueJwtSvidResponse { token }))
            .map_err(|error| refusal(&node, "a JWT-SVID", &error))
    }

    type WatchTrustStream = ReceiverStream<Result<Trust, Status>>;

    async fn watch_trust(
        &self,
        request: Request<WatchTrustRequest>,
    ) -> Result<Response<Self::WatchTrustStream>, Status> {
        let node = node(&request)?;
        let place = self.streams.enter(&node).ok_or_else(|| {
            warn!(%node, "too many nodes follow the trust: another was refused");
            Status::resource_exhausted("too many nodes")
        })?;
        info!(%node, "a node follows the trust");
        let stream = streams::follow(self.view.clone(), node, place, self.stop.clone());
        Ok(Response::new(stream))
    }
}

/// The node that calls. Everybody else is told the same as a node that may not.
fn node<T>(request: &Request<T>) -> Result<String, Status> {
    match caller(request) {
        Caller::Node(name) => Ok(name),
        other => {
            warn!(caller = %other, "somebody who is no node asked the authority");
            Err(Status::permission_denied(PERMISSION_DENIED))
        }
    }
}

fn chain(chain: Vec<CertificateDer<'static>>) -> Response<CertificateChain> {
    Response::new(CertificateChain { certificates: chain.iter().map(|der| der.to_vec()).collect() })
}

fn malformed(error: &impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

fn refusal(node: &str, what: &'static str, error: &UpstreamError) -> Status {
    warn!(%node, what, %error, "a node was refused");
    match error {
        UpstreamError::Away(_) => Status::unavailable("the authority cannot do this now; try again"),
        UpstreamError::Refused(_) => Status::permission_denied(PERMISSION_DENIED),
        UpstreamError::Revoked(_) => Status::permission_denied(REVOKED),
        // About the caller's own request and nothing else.
        UpstreamError::Request(why) => Status::invalid_argument(why.clone()),
    }
}
