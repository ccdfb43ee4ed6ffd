//! A connection to an agent: how it is made, how long an answer may take, what an error means.

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use enforcer_proto::spiffe::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use enforcer_proto::v1::detection_service_client::DetectionServiceClient;
use enforcer_proto::v1::device_service_client::DeviceServiceClient;
use enforcer_proto::v1::identity_service_client::IdentityServiceClient;
use enforcer_proto::v1::node_service_client::NodeServiceClient;
use enforcer_proto::v1::policy_service_client::PolicyServiceClient;
use enforcer_proto::v1::trace_service_client::TraceServiceClient;
use enforcer_proto::v1::tunnel_service_client::TunnelServiceClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{self, Channel, Endpoint, Uri};
use tonic::{Request, Response, Status};
use tower::service_fn;

use crate::door::Door;
use crate::failure::Failure;
use crate::svid::update::Unusable;
use crate::target::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer: a policy with a million bindings is well below it.
const MAX_ANSWER_BYTES: usize = 512 << 20;

/// The largest message of the Workload API: a thousand bundles fit.
const MAX_MATERIAL_BYTES: usize = 4 << 20;

/// A client of the Workload API.
pub(crate) type WorkloadClient = SpiffeWorkloadApiClient<InterceptedService<Channel, Header>>;
type Header = fn(Request<()>) -> Result<Request<()>, Status>;

/// A connection to an agent.
pub(crate) struct Session {
    channel: Channel,
    target: String,
    door: Door,
    request_timeout: Duration,
}

impl Session {
    /// Connects.
    pub(crate) async fn open(target: &Target, request_timeout: Duration) -> Result<Self, Failure> {
        let name = target.to_string();
        let channel = match timeout(CONNECT_TIMEOUT, connect(target)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(Failure::unreachable(target.door(), name, &error)),
            Err(_) => {
                return Err(Failure::Timeout {
                    what: format!("{name} does not answer"),
                    after: CONNECT_TIMEOUT,
                });
            }
        };
        Ok(Self { channel, target: name, door: target.door(), request_timeout })
    }

    /// The agent's policy.
    pub(crate) fn policy(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's node.
    pub(crate) fn node(&self) -> NodeServiceClient<Channel> {
        NodeServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's devices.
    pub(crate) fn device(&self) -> DeviceServiceClient<Channel> {
        DeviceServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's identity wall.
    pub(crate) fn identity(&self) -> IdentityServiceClient<Channel> {
        IdentityServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's tunnels.
    pub(crate) fn tunnel(&self) -> TunnelServiceClient<Channel> {
        TunnelServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's detection.
    pub(crate) fn detection(&self) -> DetectionServiceClient<Channel> {
        DetectionServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's traces.
    pub(crate) fn trace(&self) -> TraceServiceClient<Channel> {
        TraceServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES)
    }

    /// The agent's Workload API.
    pub(crate) fn workload(&self) -> WorkloadClient {
        SpiffeWorkloadApiClient::with_interceptor(self.channel.clone(), with_header as Header)
            .max_decoding_message_size(MAX_MATERIAL_BYTES)
    }

    /// The answer to one request, in time.
    pub(crate) async fn answer<T>(
        &self,
        request: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let response = self.in_time(request).await?;
        response.map(Response::into_inner).map_err(|status| self.failed(&status))
    }

    /// What a request comes to, in time.
    pub(crate) async fn in_time<T>(&self, request: impl Future<Output = T>) -> Result<T, Failure> {
        match timeout(self.request_timeout, request).await {
            Ok(end) => Ok(end),
            Err(_) => Err(Failure::Timeout {
                what: format!("the agent at {} has not answered; --request-timeout allows more", self.target),
                after: self.request_timeout,
            }),
        }
    }

    /// What a status of this agent means.
    pub(crate) fn failed(&self, status: &Status) -> Failure {
        Failure::from_status(self.door, &self.target, status)
    }

    /// What a message of this agent that must not be used means.
    pub(crate) fn unusable(&self, unusable: Unusable) -> Failure {
        Failure::Unusable { target: self.target.clone(), unusable }
    }

    /// Where the agent is.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }
}

/// E-2: without this header the Workload API must not answer, so that no browser can be made to ask.
fn with_header(mut request: Request<()>) -> Result<Request<()>, Status> {
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    Ok(request)
}

async fn connect(target: &Target) -> Result<Channel, transport::Error> {
    match target {
        Target::Socket(path) | Target::Workload(path) => connect_unix(path).await,
        Target::Address { uri, tls } => {
            let endpoint = Endpoint::from(uri.clone()).connect_timeout(CONNECT_TIMEOUT);
            // The traces' client of object stores brings a second library; where there are two, neither is taken.
            let _chosen_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
            endpoint.tls_config((**tls).clone())?.connect().await
        }
    }
}

/// The authority is never looked up: every connection goes to the socket.
async fn connect_unix(path: &Path) -> Result<Channel, transport::Error> {
    let path = path.to_owned();
    let connector = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}
