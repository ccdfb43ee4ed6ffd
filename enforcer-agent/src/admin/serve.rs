//! The gRPC server behind both doors: services, bounds, and an orderly end.

use std::sync::Arc;
use std::time::SystemTime;

use enforcer_core::identity::entitle::Entitlements;
use enforcer_core::policy::model::UnixNanos;
use enforcer_proto::DESCRIPTOR;
use enforcer_proto::v1::authority_service_server::AuthorityServiceServer;
use enforcer_proto::v1::detection_service_server::DetectionServiceServer;
use enforcer_proto::v1::device_service_server::DeviceServiceServer;
use enforcer_proto::v1::identity_service_server::IdentityServiceServer;
use enforcer_proto::v1::node_service_server::NodeServiceServer;
use enforcer_proto::v1::policy_service_server::PolicyServiceServer;
use enforcer_proto::v1::trace_service_server::TraceServiceServer;
use enforcer_proto::v1::tunnel_service_server::TunnelServiceServer;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::InterceptorLayer;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

use super::connection::Connection;
use super::guard::{Guard, members, operators, readers};
use super::health;
use super::limits::{
    CALL_MAX, CALL_WINDOW_BYTES, CALLS_PER_CONNECTION_MAX, CONNECTION_WINDOW_BYTES, HANDED_OVER_MAX,
    HEADERS_MAX_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_MAX_BYTES, POLICY_MESSAGE_MAX_BYTES,
};
use super::listen::local::LocalDoor;
use super::listen::network::NetworkDoor;
use super::service::authority::AuthorityCalls;
use super::service::detect::DetectCalls;
use super::service::device::DeviceCalls;
use super::service::identity::IdentityCalls;
use super::service::node::NodeCalls;
use super::service::policy::PolicyCalls;
use super::service::trace::TraceCalls;
use super::service::tunnel::TunnelCalls;
use crate::door::detect::DetectDoor;
use crate::door::device::DeviceDoors;
use crate::door::identity::IdentityDoor;
use crate::door::policy::PolicyDoor;
use crate::door::records::Observe;
use crate::door::stop::Stop;
use crate::door::trace::TraceDoor;
use crate::door::tunnel::TunnelDoor;
use crate::door::upstream::Upstream;

/// What status says of the node beside the walls.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// The agent's version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// `enforce` or `audit`.
    pub device_gate_mode: String,
    /// When the agent started.
    pub started: SystemTime,
}

/// What other nodes may ask of this one.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Who vouches for their tenants.
    pub upstream: Arc<dyn Upstream>,
    /// What the policy places where.
    pub entitlements: watch::Receiver<Arc<Entitlements>>,
    /// This node's name.
    pub own_node: String,
}

/// The admin room: what its services need.
#[derive(Clone)]
pub struct Admin {
    /// The policy room.
    pub policy: PolicyDoor,
    /// The records.
    pub observe: Observe,
    /// The identity room, unless it was turned off.
    pub identity: Option<IdentityDoor>,
    /// What other nodes may ask of this one, their authority.
    pub authority: Option<Authority>,
    /// The tunnel room, unless it was turned off.
    pub tunnel: Option<TunnelDoor>,
    /// The trace room, unless it was turned off.
    pub trace: Option<TraceDoor>,
    /// The detection room, unless it was turned off.
    pub detect: Option<DetectDoor>,
    /// The rooms of devices that are open.
    pub device: DeviceDoors,
    /// The node.
    pub node: Arc<NodeIdentity>,
    /// Time of day in nanoseconds since the Unix epoch.
    pub clock: fn() -> UnixNanos,
}

impl Admin {
    /// Serves until `stop` turns true and every call that was begun has ended.
    ///
    /// # Errors
    /// The server failed.
    pub async fn serve(
        self,
        local: LocalDoor,
        network: Option<NetworkDoor>,
        stop: Stop,
    ) -> Result<(), tonic::transport::Error> {
        let (connections, accepted) = mpsc::channel::<Connection>(HANDED_OVER_MAX);
        let mut doors = JoinSet::new();
        doors.spawn(local.accept(connections.clone()));
        if let Some(network) = network {
            doors.spawn(network.accept(connections.clone()));
        }
        drop(connections);
        self.answer(accepted, stop).await
    }

    /// Answers whoever comes by these connections.
    pub(super) async fn answer(
        self,
        accepted: mpsc::Receiver<Connection>,
        mut stop: Stop,
    ) -> Result<(), tonic::transport::Error> {
        let guard = Guard {
            is_revoked: self.identity.as_ref().map(|door| door.is_revoked.clone()),
            fleet: self.identity.as_ref().map(|door| door.fleet.clone()),
        };
        let (reporter, health) = tonic_health::server::health_reporter();
        let mut followers = JoinSet::new();
        let wall = self.identity.as_ref().map(|door| door.health.clone());
        followers.spawn(health::follow(reporter, self.policy.watch(), wall.clone(), stop.clone()));

        let policy =
            PolicyServiceServer::new(PolicyCalls::new(self.policy.clone(), self.clock, stop.clone()))
                .max_decoding_message_size(POLICY_MESSAGE_MAX_BYTES);
        let device = DeviceServiceServer::new(DeviceCalls::new(self.device, self.policy.clone()))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let node = NodeServiceServer::new(NodeCalls::new(
            self.policy,
            self.observe,
            self.node,
            wall,
            self.trace.clone(),
            stop.clone(),
        ))
        .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let authority = self.authority.map(|authority| {
            let Authority { upstream, entitlements, own_node } = authority;
            AuthorityServiceServer::new(AuthorityCalls::new(upstream, entitlements, own_node, stop.clone()))
                .max_decoding_message_size(MESSAGE_MAX_BYTES)
        });
        let identity = IdentityServiceServer::new(IdentityCalls::new(self.identity))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let tunnel = TunnelServiceServer::new(TunnelCalls::new(self.tunnel))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let trace = TraceServiceServer::new(TraceCalls::new(self.trace, stop.clone()))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let detect = DetectionServiceServer::new(DetectCalls::new(self.detect))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let router = bounded()
            .layer(InterceptorLayer::new(guard))
            .add_service(InterceptedService::new(health, members))
            .add_service(InterceptedService::new(policy, operators))
            .add_service(InterceptedService::new(node, readers))
            .add_service(InterceptedService::new(identity, operators))
            .add_service(InterceptedService::new(tunnel, operators))
            .add_service(InterceptedService::new(trace, readers))
            .add_service(InterceptedService::new(detect, operators))
            .add_service(InterceptedService::new(device, operators))
            // It asks of its callers itself that they are nodes.
            .add_optional_service(authority)
            .add_optional_service(
                reflection().map(|reflection| InterceptedService::new(reflection, members)),
            );
        let accepted = ReceiverStream::new(accepted).map(Ok::<_, std::io::Error>);
        router.serve_with_incoming_shutdown(accepted, async move { stop.wait().await }).await
    }
}

/// A server that takes no more of anything than it should.
pub(super) fn bounded() -> Server {
    Server::builder()
        .timeout(CALL_MAX)
        .max_concurrent_streams(CALLS_PER_CONNECTION_MAX)
        .initial_stream_window_size(CALL_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_max_header_list_size(HEADERS_MAX_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
}

/// The descriptions of our own services; they were compiled with the services, so they parse.
fn reflection() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .ok()
}
