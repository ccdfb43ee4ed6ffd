//! A served room: records that a test appends, a policy that it changes, clients of the socket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use enforcer_core::hubble::peers::Directory;
use enforcer_core::policy::model::{Company, Occupant, Policy, UnixNanos};
use enforcer_proto::hubble::flow::{Flow, FlowFilter};
use enforcer_proto::hubble::observer::get_flows_response::ResponseTypes;
use enforcer_proto::hubble::observer::observer_client::ObserverClient;
use enforcer_proto::hubble::observer::{GetFlowsRequest, GetFlowsResponse};
use enforcer_proto::v1;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Status, Streaming};

use crate::admin::listen::local::LocalDoor;
use crate::admin::listen::network::NetworkDoor;
use crate::admin::reading;
use crate::compose::records::{holding, subscribe};
use crate::door::policy::{InForce, Revision};
use crate::door::stop::Stopper;
use crate::forensics::Forensics;
use crate::hubble::{Hubble, Node};

/// Records that fit.
pub(super) const CAPACITY: usize = 400;

pub(super) struct Stage {
    pub(super) socket: PathBuf,
    pub(super) in_force: watch::Sender<Arc<InForce>>,
    pub(super) stopper: Stopper,
    pub(super) tasks: JoinSet<()>,
    forensics: Forensics,
    _directory: TempDir,
}

impl Stage {
    pub(super) async fn open() -> Self {
        Self::with(None, Some(4254)).await
    }

    pub(super) async fn with(network: Option<NetworkDoor>, port: Option<u16>) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("hubble.sock");
        let forensics = Forensics::new("n1".to_owned(), CAPACITY);
        let in_force = watch::Sender::new(policy(&[]));
        let stopper = Stopper::default();
        let hubble = Hubble {
            subscribe: subscribe(&forensics),
            holding: holding(&forensics, CAPACITY),
            in_force: in_force.subscribe(),
            node: Node {
                version: "0.1.0".to_owned(),
                cluster: "default".into(),
                directory: Directory {
                    own: "n1".to_owned(),
                    own_address: "10.0.0.1:4254".to_owned(),
                    port,
                    addresses: BTreeMap::new(),
                },
                started: Instant::now(),
            },
            clock: now,
        };
        let local = LocalDoor::open(&socket, &Default::default()).unwrap();
        let (routes, work) = hubble.open(stopper.listener()).await;
        let stop = stopper.listener();
        let mut tasks = JoinSet::new();
        tasks.spawn(work);
        tasks.spawn(async move { reading::serve(routes, local, network, None, stop).await.unwrap() });
        Self { socket, in_force, stopper, tasks, forensics, _directory: directory }
    }

    pub(super) fn keep(&self, records: impl IntoIterator<Item = v1::Record>) {
        let records: Vec<_> = records.into_iter().map(Arc::new).collect();
        self.forensics.append(&records);
    }

    pub(super) async fn client(&self) -> ObserverClient<Channel> {
        ObserverClient::new(channel(&self.socket).await)
    }

    /// Asks for flows; `change` says for which.
    pub(super) async fn ask(
        &self,
        change: impl FnOnce(&mut GetFlowsRequest),
    ) -> Result<Streaming<GetFlowsResponse>, Status> {
        let mut request = GetFlowsRequest::default();
        change(&mut request);
        self.client().await.get_flows(request).await.map(tonic::Response::into_inner)
    }

    /// The whole answer, as [`told`] says it.
    pub(super) async fn flows(&self, change: impl FnOnce(&mut GetFlowsRequest)) -> Vec<i64> {
        let mut answer = self.ask(change).await.unwrap();
        let mut flows = Vec::new();
        while let Some(response) = answer.next().await {
            flows.push(told(&response.unwrap()));
        }
        flows
    }
}

fn now() -> UnixNanos {
    2_000 * 1_000_000_000
}

/// A policy in force with workloads of tenants on nodes.
pub(super) fn policy(occupants: &[(&str, &str)]) -> Arc<InForce> {
    let mut policy = Policy::default();
    for (node, tenant) in occupants {
        let node = Some((*node).into());
        let occupant = Occupant { node, company: Company::Accepts, tenant: (*tenant).into() };
        policy.index.occupants.insert(occupant, 1);
    }
    let current = Arc::new(Revision {
        number: 1,
        time: 1,
        author: "test".to_owned(),
        source: "push".to_owned(),
        digest: None,
        policy: Arc::new(policy),
    });
    Arc::new(InForce { history: vec![Arc::clone(&current)], current, facts: Arc::default(), ready: true })
}

/// A flow between tenants; it happened as many seconds after the epoch as its number says.
pub(super) fn flow(sequence: u64, from: &str, to: &str, verdict: &str) -> v1::Record {
    let end = |identity: &str, address: &str, port| {
        Some(v1::Endpoint {
            identity: identity.to_owned(),
            workload: format!("{identity}-0"),
            address: address.to_owned(),
            port,
            ..v1::Endpoint::default()
        })
    };
    v1::Record {
        sequence,
        time: time(sequence),
        node: "n1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: verdict.to_owned(),
        reason: if verdict == "deny" { "rule_denied".to_owned() } else { String::new() },
        rule: "some-rule".to_owned(),
        rule_owner: to.to_owned(),
        hook: "connect".to_owned(),
        protocol: "TCP".to_owned(),
        source: end(from, "10.0.0.1", 4242),
        destination: end(to, "10.0.0.2", 80),
        ..v1::Record::default()
    }
}

pub(super) fn loss(sequence: u64) -> v1::Record {
    let cause = "event_full".to_owned();
    let r#type = "loss".to_owned();
    v1::Record {
        sequence,
        time: time(sequence),
        node: "n1".to_owned(),
        r#type,
        reason: cause,
        lost_before: 3,
        ..v1::Record::default()
    }
}

pub(super) fn time(seconds: u64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: i64::try_from(seconds).unwrap(), nanos: 0 })
}

pub(super) fn dropped() -> FlowFilter {
    FlowFilter { verdict: vec![2], ..FlowFilter::default() }
}

/// The second of a flow; of a loss, the negative number that was lost.
pub(super) fn told(response: &GetFlowsResponse) -> i64 {
    match &response.response_types {
        Some(ResponseTypes::Flow(flow)) => flow.time.unwrap().seconds,
        Some(ResponseTypes::LostEvents(lost)) => -i64::try_from(lost.num_events_lost).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(super) fn the_flow(response: GetFlowsResponse) -> Flow {
    match response.response_types {
        Some(ResponseTypes::Flow(flow)) => flow,
        other => panic!("{other:?}"),
    }
}

/// The next of a stream, which must come soon.
pub(super) async fn soon<T>(stream: &mut Streaming<T>) -> Option<Result<T, Status>> {
    tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("nothing came")
}

/// Nothing comes within a moment.
pub(super) async fn is_silent<T>(stream: &mut Streaming<T>) -> bool {
    tokio::time::timeout(Duration::from_millis(150), stream.next()).await.is_err()
}

/// Waits for what must become true soon.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = SystemTime::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(SystemTime::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) async fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    Endpoint::from_static("http://hubble")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .unwrap()
}
