//! What workloads are served over their socket: the SPIFFE Workload API and Envoy's secret discovery; and what
//! the fleet's friends are served, bundles. It must not know how a certificate is made, nor what a control group is.

mod budget;
mod caller;
mod connection;
mod door;
pub mod federation;
mod follow;
mod gate;
mod limits;
mod pull;
mod refusal;
mod sds;
#[cfg(test)]
mod tests;
mod workload_api;

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_proto::SPIFFE_DESCRIPTOR;
use enforcer_proto::spiffe::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_server::SecretDiscoveryServiceServer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use self::budget::Budget;
use self::connection::Connection;
pub use self::door::WorkloadDoor;
use self::gate::Gate;
pub use self::limits::ServeLimits;
use self::limits::{
    CALL_WINDOW_BYTES, CALLS_PER_CONNECTION_MAX, CONNECTION_WINDOW_BYTES, DISCOVERY_MESSAGE_MAX_BYTES,
    HANDED_OVER_MAX, HEADERS_MAX_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_MAX_BYTES,
};
use self::sds::SecretCalls;
use self::sds::nobody::Nobody;
use self::workload_api::WorkloadCalls;
use super::attest::Attest;
use super::wallet::Wallet;
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::door::upstream::Upstream;

/// A token and an audience, checked against every bundle of the node: whom it names and its claims, or what is
/// wrong with it, for the log.
pub type ValidateJwt = Arc<
    dyn Fn(&str, &str) -> Result<(SpiffeId, serde_json::Map<String, serde_json::Value>), String>
        + Send
        + Sync,
>;

/// What is done with tokens, by those who know how.
#[derive(Clone)]
pub struct Jwt {
    /// A bundle as a JWK Set with keys for JWT-SVIDs alone (W-8).
    pub bundle: fn(&Bundle) -> String,
    /// Checks a token (W-9).
    pub validate: ValidateJwt,
    /// How long a token that is issued lives.
    pub lifetime: Duration,
}

/// What serving needs.
pub struct ServeParts {
    /// Where workloads call.
    pub door: WorkloadDoor,
    /// Who says which workload a caller is.
    pub attest: Arc<dyn Attest>,
    /// Where each workload stands.
    pub wallet: Wallet,
    /// Who signs tokens.
    pub upstream: Arc<dyn Upstream>,
    /// The node's name, as the authority knows it.
    pub node: String,
    /// Tokens.
    pub jwt: Jwt,
    /// How much callers may take.
    pub limits: ServeLimits,
    /// Where callers that are turned away are told.
    pub tell: Tell,
    /// When to end.
    pub stop: Stop,
}

/// Why serving did not begin, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No key could be made.
    #[error("cannot make an authority that nobody holds: {0}")]
    Nobody(#[from] rcgen::Error),
    /// The server failed.
    #[error("the workload socket failed: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// What calls have in common.
struct Shared {
    gate: Gate,
    wallet: Wallet,
    upstream: Arc<dyn Upstream>,
    node: String,
    jwt: Jwt,
    nobody: Nobody,
    stop: Stop,
}

/// Serves until it is told to stop and every stream has ended, which each does when it hears of it. A stream
/// holds exactly one receiver of the wallet, so [`Wallet::followers`] counts the open streams of a workload.
///
/// # Errors
/// The server failed.
pub async fn run(parts: ServeParts) -> Result<(), ServeError> {
    let ServeParts { door, attest, wallet, upstream, node, jwt, limits, tell, stop } = parts;
    let gate = Gate::new(attest, Budget::new(limits));
    let shared = Arc::new(Shared {
        gate: gate.clone(),
        wallet,
        upstream,
        node,
        jwt,
        nobody: Nobody::new()?,
        stop: stop.clone(),
    });
    let (connections, accepted) = mpsc::channel::<Connection>(HANDED_OVER_MAX);
    let mut doors = JoinSet::new();
    doors.spawn(door.accept(gate, connections, tell));
    serve(&shared, accepted, stop).await
}

async fn serve(
    shared: &Arc<Shared>,
    accepted: mpsc::Receiver<Connection>,
    mut stop: Stop,
) -> Result<(), ServeError> {
    let gates = [(); 3].map(|()| shared.gate.clone());
    let [workload_gate, secrets_gate, reflection_gate] = gates;
    let workloads = SpiffeWorkloadApiServer::new(WorkloadCalls(Arc::clone(shared)))
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
    let secrets = SecretDiscoveryServiceServer::new(SecretCalls(Arc::clone(shared)))
        .max_decoding_message_size(DISCOVERY_MESSAGE_MAX_BYTES);
    let reflection = reflection().map(|service| {
        InterceptedService::new(service, move |request: Request<()>| reflection_gate.admit(request))
    });
    let router = Server::builder()
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(InterceptedService::new(workloads, move |request: Request<()>| {
            workload_gate.workload_api(request)
        }))
        .add_service(InterceptedService::new(secrets, move |request: Request<()>| {
            secrets_gate.admit(request)
        }))
        .add_optional_service(reflection);
    let accepted = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
    Ok(router.serve_with_incoming_shutdown(accepted, async move { stop.wait().await }).await?)
}

/// E-6: what a caller can learn of the standard's service from the service itself. It was compiled with it, so it
/// parses.
fn reflection() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(SPIFFE_DESCRIPTOR)
        .build_v1()
        .ok()
}

impl Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl Debug for ServeParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeParts")
            .field("door", &self.door)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
