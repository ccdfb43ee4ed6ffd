//! `NodeService`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enforcer_common::{abi, event, reason};
use enforcer_core::device::attack;
use enforcer_core::enforce::{CapacityReport, HookReport, HookState};
use enforcer_core::event::names::loss_name;
use enforcer_core::node::{Capabilities, Capability};
use enforcer_core::policy::compile::node::is_local;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::unencrypted::unencrypted;
use enforcer_proto::v1::node_service_server::NodeService;
use enforcer_proto::v1::{
    self, CountersRequest, CountersResponse, DevicesRequest, DevicesResponse, ObserveRequest, StatusRequest,
    StatusResponse,
};
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::{devices, names, status, time, trace};
use crate::admin::guard;
use crate::admin::serve::NodeIdentity;
use crate::door::identity::Health;
use crate::door::policy::{InForce, PolicyDoor, Report};
use crate::door::records::Observe;
use crate::door::stop::Stop;
use crate::door::trace::{Command, Told, TraceDoor};

/// Records between their keeper and one caller.
const RECORDS_AHEAD_MAX: usize = 64;

/// The calls of `NodeService`.
pub(in crate::admin) struct NodeCalls {
    door: PolicyDoor,
    observe: Observe,
    node: Arc<NodeIdentity>,
    identity: Option<watch::Receiver<Health>>,
    trace: Option<TraceDoor>,
    stop: Stop,
}

impl NodeCalls {
    pub(in crate::admin) fn new(
        door: PolicyDoor,
        observe: Observe,
        node: Arc<NodeIdentity>,
        identity: Option<watch::Receiver<Health>>,
        trace: Option<TraceDoor>,
        stop: Stop,
    ) -> Self {
        Self { door, observe, node, identity, trace, stop }
    }
}

#[tonic::async_trait]
impl NodeService for NodeCalls {
    type ObserveStream = ReceiverStream<Result<v1::Record, Status>>;

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        guard::operator(&request)?;
        let report = self.door.report().await.map_err(status::closed)?.map_err(status::unreadable)?;
        let Report { revision, digest, drift, hooks, capacities, losses, mut warnings } = report;
        let identity = self.identity.as_ref().map(|health| health.borrow().clone());
        let identity_ready = identity.as_ref().map(|health| health.ready);
        warnings.extend(identity.into_iter().flat_map(|health| health.warnings));
        let Told { losses: unkept, problems } = self.trace.as_ref().map(TraceDoor::told).unwrap_or_default();
        warnings.extend(problems);
        let states: BTreeMap<&str, HookState> =
            hooks.iter().map(|hook| (hook.name, hook.state.clone())).collect();
        let is_audited = self.node.device_gate_mode != "enforce";
        let uncovered = attack::uncovered(|hook| states.get(hook).cloned(), is_audited);
        let uncovered = uncovered
            .into_iter()
            .map(|one| v1::Uncovered {
                attack: one.attack.word.to_owned(),
                what: one.attack.what.to_owned(),
                why: one.why,
            })
            .collect();
        let in_force = self.door.in_force();
        let facts = Arc::clone(&in_force.facts);
        Ok(Response::new(StatusResponse {
            node: self.node.name.clone(),
            version: self.node.version.clone(),
            kernel: self.node.kernel.clone(),
            abi: abi::VERSION,
            revision,
            digest: digest.to_vec(),
            in_sync: drift.is_empty(),
            drift,
            hooks: hooks.into_iter().map(hook).collect(),
            capacities: capacities.into_iter().map(capacity).collect(),
            capabilities: capabilities(&facts.capabilities, identity_ready.is_some()),
            identity_ready,
            unencrypted: plaintext(&in_force),
            uncovered,
            device_gate_mode: self.node.device_gate_mode.clone(),
            warnings,
            losses: losses
                .into_iter()
                .map(|loss| v1::Loss {
                    cause: loss_name(loss.cause),
                    count: loss.count,
                    source: names::identity(&in_force, loss.source),
                })
                .chain(unkept)
                .collect(),
            started: Some(time::system(self.node.started)),
        }))
    }

    async fn counters(
        &self,
        request: Request<CountersRequest>,
    ) -> Result<Response<CountersResponse>, Status> {
        guard::operator(&request)?;
        let tenant = request.into_inner().tenant;
        let cells = self.door.counters().await.map_err(status::closed)?.map_err(status::unreadable)?;
        let in_force = self.door.in_force();
        let counters = cells.into_iter().map(|(key, value)| v1::Counter {
            source: names::identity(&in_force, key.source),
            destination: if key.hook == event::HOOK_DEVICE {
                String::new()
            } else {
                names::identity(&in_force, key.destination)
            },
            reason: reason::name(key.reason).to_owned(),
            hook: event::hook_name(key.hook).to_owned(),
            audited: key.audited != 0,
            packets: value.packets,
            bytes: value.bytes,
        });
        let wanted = |counter: &v1::Counter| {
            tenant.as_ref().is_none_or(|tenant| counter.source == *tenant || counter.destination == *tenant)
        };
        Ok(Response::new(CountersResponse { counters: counters.filter(wanted).collect() }))
    }

    async fn devices(&self, request: Request<DevicesRequest>) -> Result<Response<DevicesResponse>, Status> {
        guard::operator(&request)?;
        Ok(Response::new(DevicesResponse { devices: devices::list(&self.door.in_force()) }))
    }

    async fn observe(
        &self,
        request: Request<ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        let scope = guard::scope(&guard::caller(&request))?;
        let request = request.into_inner();
        // What memory no longer holds of a stream that goes on is in the traces.
        if let (Some(_), Some(trace)) = (request.after, &self.trace) {
            let streamed = trace.ask(|reply| Command::Stream(Box::new(request), scope, reply)).await;
            let found = streamed.map_err(status::closed)?.map_err(trace::refused)?;
            return Ok(Response::new(trace::hand_on(found, self.stop.clone())));
        }
        let mut records = (self.observe)(request, scope).map_err(Status::invalid_argument)?;
        let mut stop = self.stop.clone();
        let (ahead, stream) = mpsc::channel(RECORDS_AHEAD_MAX);
        tokio::spawn(async move {
            loop {
                let record = tokio::select! {
                    () = ahead.closed() => return,
                    () = stop.wait() => return,
                    record = records.next() => record,
                };
                let Some(record) = record else { return };
                if ahead.send(Ok(record)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// What the tenants of this node may exchange with other nodes in plaintext.
fn plaintext(in_force: &InForce) -> Vec<v1::Unencrypted> {
    let policy = &in_force.current.policy;
    let workloads = policy.workloads.values().filter(|workload| is_local(&in_force.facts, workload));
    let here: BTreeSet<&Name> = workloads.map(|workload| &workload.tenant).collect();
    let told = unencrypted(policy).into_iter().filter(|(tenant, _)| here.contains(tenant));
    told.map(|(tenant, what)| v1::Unencrypted { tenant: tenant.to_string(), what }).collect()
}

pub(super) fn hook(report: HookReport) -> v1::Hook {
    let HookReport { name, state, program_id, program_tag, attached_to } = report;
    let (state, reason) = match state {
        HookState::Verified => (v1::HookState::Verified, String::new()),
        HookState::Declared => (v1::HookState::Declared, String::new()),
        HookState::Absent(reason) => (v1::HookState::Absent, reason),
    };
    v1::Hook { name: name.to_owned(), state: state.into(), reason, program_id, program_tag, attached_to }
}

fn capacity(report: CapacityReport) -> v1::Capacity {
    let CapacityReport { table, used, capacity, memory_bytes } = report;
    v1::Capacity { name: table.to_owned(), used, capacity, memory_bytes }
}

fn capabilities(capabilities: &Capabilities, has_identity: bool) -> Vec<v1::Capability> {
    let workload_identity = if has_identity {
        Capability::Present
    } else {
        Capability::Absent("`identity.enabled` is false in the configuration".to_owned())
    };
    let Capabilities { device_handles, mtls_tunnel, device_gate, socket_hooks, interface_hooks } =
        capabilities;
    let message = |(name, capability): (&str, &Capability)| {
        let (present, reason) = match capability {
            Capability::Present => (true, String::new()),
            Capability::Absent(reason) => (false, reason.clone()),
        };
        v1::Capability { name: name.to_owned(), present, reason }
    };
    [
        ("device-handles", device_handles),
        ("mtls-tunnel", mtls_tunnel),
        ("device-gate", device_gate),
        ("socket-hooks", socket_hooks),
        ("interface-hooks", interface_hooks),
        ("workload-identity", &workload_identity),
    ]
    .into_iter()
    .map(message)
    .collect()
}
