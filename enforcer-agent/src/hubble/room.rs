//! What the services have in common: records, names, and what is known of the node.

use std::sync::Arc;
use std::time::Instant;

use enforcer_core::hubble::names::Names;
use enforcer_core::hubble::namespaces::Namespaces;
use enforcer_core::hubble::peers::Directory;
use enforcer_core::hubble::rate::Rate;
use enforcer_core::policy::model::UnixNanos;
use enforcer_proto::hubble::DESCRIPTOR;
use enforcer_proto::hubble::observer::observer_server::ObserverServer;
use enforcer_proto::hubble::peer::peer_server::PeerServer;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_health::ServingStatus;

use super::limits::{LOOKS_MAX, MESSAGE_MAX_BYTES, NAMESPACES_POLL, STREAMS_MAX};
use super::observer::ObserverCalls;
use super::peer::PeerCalls;
use crate::door::policy::InForce;
use crate::door::records::{Holding, Scope, Start, Subscribe};
use crate::door::stop::Stop;
use crate::door::upstream::PERMISSION_DENIED;

/// The name under which the `hubble` command asks whether the server is well.
const HEALTH: &str = "hubble.server.Observer";

/// The node, as it is told.
#[derive(Clone, Debug)]
pub struct Node {
    /// The agent's version.
    pub version: String,
    /// The cluster that it says it is in.
    pub cluster: Arc<str>,
    /// Where it and others are.
    pub directory: Directory,
    /// When the agent started.
    pub started: Instant,
}

/// What the services need.
#[derive(Clone)]
pub struct Hubble {
    /// The records.
    pub subscribe: Subscribe,
    /// How many are held.
    pub holding: Holding,
    /// The policy in force, for names.
    pub in_force: watch::Receiver<Arc<InForce>>,
    /// The node.
    pub node: Node,
    /// Time of day.
    pub clock: fn() -> UnixNanos,
}

impl Hubble {
    /// The services, and what remembers namespaces until the word to stop.
    pub async fn open(self, stop: Stop) -> (Routes, impl Future<Output = ()> + Send + use<>) {
        let room = Arc::new(Room::new(self));
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status(HEALTH, ServingStatus::Serving).await;
        let observer = ObserverServer::new(ObserverCalls::new(Arc::clone(&room), stop.clone()))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let peer = PeerServer::new(PeerCalls::new(Arc::clone(&room), stop.clone()))
            .max_decoding_message_size(MESSAGE_MAX_BYTES);
        let mut routes = Routes::new(health).add_service(observer).add_service(peer);
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTOR)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        // They were compiled with the services, so they parse.
        if let (Ok(now), Ok(before)) = (describe().build_v1(), describe().build_v1alpha()) {
            routes = routes.add_service(now).add_service(before);
        }
        let mut end = stop.clone();
        let work = async move {
            tokio::select! {
                () = end.wait() => {}
                () = room.remember() => {}
            }
            reporter.set_service_status(HEALTH, ServingStatus::NotServing).await;
        };
        (routes, work)
    }
}

/// What is seen of namespaces, and up to which record.
#[derive(Default)]
struct Memory {
    namespaces: Namespaces,
    last: Option<u64>,
}

pub(super) struct Room {
    pub(super) hubble: Hubble,
    memory: Mutex<Memory>,
    streams: Arc<Semaphore>,
    looks: Semaphore,
}

impl Room {
    fn new(hubble: Hubble) -> Self {
        Self {
            hubble,
            memory: Mutex::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            looks: Semaphore::new(LOOKS_MAX),
        }
    }

    /// What names mean now.
    pub(super) fn names(&self) -> Names {
        let policy = Arc::clone(&self.hubble.in_force.borrow().current.policy);
        Names::new(policy, Arc::clone(&self.hubble.node.cluster))
    }

    /// A place for a stream, until it is dropped.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| Status::resource_exhausted(format!("{STREAMS_MAX} streams are open already")))
    }

    /// Counts the flows that are held and that a caller may see.
    pub(super) async fn rate(&self, scope: Scope) -> Rate {
        let _turn = self.looks.acquire().await;
        let mut rate = Rate::new((self.hubble.clock)());
        let mut records = (self.hubble.subscribe)(scope, Start::Oldest, false);
        while let Some(record) = records.next().await {
            rate.see(&record);
        }
        rate
    }

    /// Namespaces of the last hour.
    pub(super) async fn namespaces(&self, of: Option<&str>) -> Vec<String> {
        let now = i64::try_from((self.hubble.clock)() / 1_000_000_000).unwrap_or(i64::MAX);
        let mut memory = self.memory.lock().await;
        self.look(&mut memory).await;
        memory.namespaces.list(of, now)
    }

    async fn look(&self, memory: &mut Memory) {
        let names = self.names();
        let start = memory.last.map_or(Start::Oldest, Start::After);
        let mut records = (self.hubble.subscribe)(Scope::Everything, start, false);
        while let Some(record) = records.next().await {
            memory.namespaces.see(&record, &names);
            memory.last = memory.last.max(Some(record.sequence));
        }
    }

    /// Records are pushed out sooner than an hour is over.
    async fn remember(&self) {
        let mut poll = interval(NAMESPACES_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            poll.tick().await;
            self.look(&mut *self.memory.lock().await).await;
        }
    }
}

/// Whose records the caller may see. A request without a scope came past the doors.
pub(super) fn scope<T>(request: &Request<T>) -> Result<Scope, Status> {
    request.extensions().get::<Scope>().cloned().ok_or_else(|| Status::permission_denied(PERMISSION_DENIED))
}

/// The tenant that a scope is confined to.
pub(super) fn tenant(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::Everything => None,
        Scope::Tenant(name) => Some(name),
    }
}
