//! `observer.Observer`.

use std::pin::Pin;
use std::sync::Arc;

use enforcer_core::hubble::API_VERSION;
use enforcer_core::hubble::query::Query;
use enforcer_core::hubble::rate::Rate;
use enforcer_proto::hubble::observer::observer_server::Observer;
use enforcer_proto::hubble::observer::{
    GetAgentEventsRequest, GetAgentEventsResponse, GetDebugEventsRequest, GetDebugEventsResponse,
    GetFlowsRequest, GetFlowsResponse, GetNamespacesRequest, GetNamespacesResponse, GetNodesRequest,
    GetNodesResponse, Namespace, Node, NodeState, ServerStatusRequest, ServerStatusResponse, Tls,
};
use tokio_stream::Stream;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::flows;
use super::room::{Room, scope, tenant};
use crate::door::records::Scope;
use crate::door::stop::Stop;

/// By which clients learn that they are older than the server.
const VERSION_HEADER: &str = "hubble-server-version";

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An answer, with the version of the API.
pub(super) fn versioned<T>(message: T) -> Response<T> {
    let mut response = Response::new(message);
    response.metadata_mut().insert(VERSION_HEADER, MetadataValue::from_static(API_VERSION));
    response
}

pub(super) struct ObserverCalls {
    room: Arc<Room>,
    stop: Stop,
}

impl ObserverCalls {
    pub(super) const fn new(room: Arc<Room>, stop: Stop) -> Self {
        Self { room, stop }
    }

    async fn status(&self, scope: Scope) -> Figures {
        let held = (self.room.hubble.holding)();
        let is_whole = scope == Scope::Everything;
        let rate: Rate = self.room.rate(scope).await;
        Figures {
            num_flows: rate.held(),
            max_flows: held.capacity,
            // How many there were of all tenants is nobody's business but the operator's.
            seen_flows: if is_whole { held.flows_ever } else { rate.held() },
            uptime_ns: u64::try_from(self.room.hubble.node.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            flows_rate: rate.per_second(held.has_pushed_out),
        }
    }

    fn version(&self) -> String {
        format!("enforcer v{}", self.room.hubble.node.version)
    }
}

/// The numbers that the server's status and its entry in the list of nodes share.
struct Figures {
    num_flows: u64,
    max_flows: u64,
    seen_flows: u64,
    uptime_ns: u64,
    flows_rate: f64,
}

#[tonic::async_trait]
impl Observer for ObserverCalls {
    type GetFlowsStream = Answers<GetFlowsResponse>;
    type GetAgentEventsStream = Answers<GetAgentEventsResponse>;
    type GetDebugEventsStream = Answers<GetDebugEventsResponse>;

    async fn get_flows(
        &self,
        request: Request<GetFlowsRequest>,
    ) -> Result<Response<Self::GetFlowsStream>, Status> {
        let scope = scope(&request)?;
        let query = Query::parse(request.get_ref())
            .map_err(|refusal| Status::invalid_argument(refusal.to_string()))?;
        let place = self.room.stream()?;
        let answers = flows::stream(&self.room, query, scope, self.stop.clone(), place);
        Ok(versioned(Box::pin(answers)))
    }

    async fn get_agent_events(
        &self,
        _: Request<GetAgentEventsRequest>,
    ) -> Result<Response<Self::GetAgentEventsStream>, Status> {
        Err(Status::unimplemented(
            "GetAgentEvents is not implemented: what the agent does is no flow; see enforcerctl observe",
        ))
    }

    async fn get_debug_events(
        &self,
        _: Request<GetDebugEventsRequest>,
    ) -> Result<Response<Self::GetDebugEventsStream>, Status> {
        Err(Status::unimplemented("GetDebugEvents is not implemented"))
    }

    async fn get_nodes(
        &self,
        request: Request<GetNodesRequest>,
    ) -> Result<Response<GetNodesResponse>, Status> {
        let scope = scope(&request)?;
        let names = self.room.names();
        let directory = &self.room.hubble.node.directory;
        let own = names.node(&directory.own);
        let peers = directory.peers(&names, tenant(&scope));
        let status = self.status(scope).await;
        let nodes = peers.into_iter().map(|(name, peer)| {
            let node = Node {
                address: peer.address,
                tls: Some(Tls {
                    enabled: peer.server_name.is_some(),
                    server_name: peer.server_name.unwrap_or_default(),
                }),
                // How others are is not asked.
                state: NodeState::UnknownNodeState as i32,
                ..Node::default()
            };
            if name != own {
                return Node { name, ..node };
            }
            Node {
                name,
                version: self.version(),
                state: NodeState::NodeConnected as i32,
                uptime_ns: status.uptime_ns,
                num_flows: status.num_flows,
                max_flows: status.max_flows,
                seen_flows: status.seen_flows,
                ..node
            }
        });
        Ok(versioned(GetNodesResponse { nodes: nodes.collect() }))
    }

    async fn get_namespaces(
        &self,
        request: Request<GetNamespacesRequest>,
    ) -> Result<Response<GetNamespacesResponse>, Status> {
        let scope = scope(&request)?;
        let cluster = self.room.hubble.node.cluster.to_string();
        let namespaces = self.room.namespaces(tenant(&scope)).await;
        let named = namespaces.into_iter().map(|namespace| Namespace { cluster: cluster.clone(), namespace });
        Ok(versioned(GetNamespacesResponse { namespaces: named.collect() }))
    }

    async fn server_status(
        &self,
        request: Request<ServerStatusRequest>,
    ) -> Result<Response<ServerStatusResponse>, Status> {
        let Figures { num_flows, max_flows, seen_flows, uptime_ns, flows_rate } =
            self.status(scope(&request)?).await;
        Ok(versioned(ServerStatusResponse {
            num_flows,
            max_flows,
            seen_flows,
            uptime_ns,
            num_connected_nodes: Some(1),
            // This node asks no other: what is not known is left out.
            num_unavailable_nodes: None,
            unavailable_nodes: Vec::new(),
            version: self.version(),
            flows_rate,
        }))
    }
}
