//! Every call of every service, for every kind of caller: who may make it, and as whom. A call that is added to a service
//! is a reader's only once it is listed here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_proto::DESCRIPTOR;
use hyper_util::rt::TokioIo;
use prost_types::FileDescriptorSet;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::{admin, in_force};
use crate::admin::caller::Caller;
use crate::admin::connection::{Connection, Io};
use crate::door::identity::{Fault, Health, IdentityDoor, Unverified};
use crate::door::policy::PolicyDoor;
use crate::door::records::Scope;
use crate::door::stop::Stopper;
use crate::door::upstream::PERMISSION_DENIED;

/// What a tenant's reader may call.
const READERS: [&str; 5] = [
    "/enforcer.v1.NodeService/Observe",
    "/enforcer.v1.TraceService/Query",
    "/enforcer.v1.TraceService/Status",
    "/enforcer.v1.TraceService/Stream",
    "/enforcer.v1.TraceService/Summary",
];
/// What a node may call, beside what all members of the fleet may.
const NODES: &str = "/enforcer.v1.AuthorityService/";

/// The paths of every call that the agent serves.
fn calls() -> Vec<String> {
    let set: FileDescriptorSet = prost::Message::decode(DESCRIPTOR).unwrap();
    let mut calls = vec!["/grpc.health.v1.Health/Check".to_owned()];
    for file in &set.file {
        for service in &file.service {
            // Workloads have a door of their own.
            if file.package() == "enforcer.v1" {
                let name = format!("/{}.{}/", file.package(), service.name());
                calls.extend(service.method.iter().map(|method| format!("{name}{}", method.name())));
            }
        }
    }
    calls
}

/// A server that takes callers at their word, and remembers whose records were asked for.
struct Served {
    connections: mpsc::Sender<Connection>,
    scopes: Arc<Mutex<Vec<Scope>>>,
    _stopper: Stopper,
}

fn serve() -> Served {
    let (connections, accepted) = mpsc::channel(1);
    let (commands, inbox) = mpsc::channel(1);
    drop(inbox);
    let policy = PolicyDoor::new(commands, watch::Sender::new(in_force(1, true)).subscribe());
    let mut admin = admin(policy, None);
    let scopes = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&scopes);
    admin.observe = Arc::new(move |_, scope| {
        asked.lock().unwrap().push(scope);
        Ok(Box::pin(tokio_stream::empty()))
    });
    admin.identity = Some(identity());
    let stopper = Stopper::default();
    tokio::spawn(admin.answer(accepted, stopper.listener()));
    Served { connections, scopes, _stopper: stopper }
}

/// An identity wall that knows the fleet and who is revoked, and answers nothing.
fn identity() -> IdentityDoor {
    let nobody = || Unverified { fault: Fault::UnknownAuthority, text: "nobody".to_owned() };
    IdentityDoor {
        fleet: "fleet.example".parse().unwrap(),
        is_authority: false,
        commands: mpsc::channel(1).0,
        health: watch::Sender::new(Health::default()).subscribe(),
        own: watch::Sender::new(None).subscribe(),
        verify: Arc::new(move |_, _| Err(nobody())),
        is_revoked: Arc::new(|id| id.path() == "/lost"),
        trust: watch::Sender::new(Arc::default()).subscribe(),
        credentials: watch::Sender::new(Arc::default()).subscribe(),
    }
}

impl Served {
    async fn channel(&self, caller: &Caller) -> Channel {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let connection = Connection::new(Io::Local(theirs), caller.clone(), None, place);
        self.connections.send(connection).await.unwrap();
        let mut ours = Some(ours);
        let connect = tower::service_fn(move |_: Uri| {
            let ours = ours.take().ok_or(std::io::ErrorKind::NotConnected);
            async move { ours.map(TokioIo::new).map_err(std::io::Error::from) }
        });
        Endpoint::from_static("http://agent").connect_with_connector(connect).await.unwrap()
    }

    /// How a call with an empty message ends; `None` when it is answered.
    async fn call(&self, caller: &Caller, path: &str) -> Option<Status> {
        let mut client = tonic::client::Grpc::new(self.channel(caller).await);
        client.ready().await.unwrap();
        let path: PathAndQuery = path.parse().unwrap();
        let codec: ProstCodec<(), ()> = ProstCodec::default();
        let asked = client.server_streaming(Request::new(()), path, codec);
        let mut answer = match timeout(Duration::from_secs(20), asked).await.unwrap() {
            Err(status) => return Some(status),
            Ok(answer) => answer.into_inner(),
        };
        timeout(Duration::from_millis(200), answer.message()).await.ok()?.err()
    }
}

fn callers() -> BTreeMap<&'static str, Caller> {
    let id = |id: &str| id.parse().unwrap();
    let reader = |path: &str| {
        let id = id(&format!("spiffe://red.fleet.example{path}"));
        Caller::Reader { id, tenant: "red".into() }
    };
    BTreeMap::from([
        ("local", Caller::Local { uid: 0 }),
        ("plane", Caller::Remote(id("spiffe://fleet.example/plane"))),
        ("reader", reader("/auditor")),
        ("revoked reader", reader("/lost")),
        ("node", Caller::Node("n1".to_owned())),
        ("refused", Caller::Refused),
    ])
}

fn may(kind: &str, path: &str) -> bool {
    let is_health = path.starts_with("/grpc.health");
    match kind {
        "local" | "plane" => !path.starts_with(NODES),
        "reader" => READERS.contains(&path),
        "node" => is_health,
        _ => false,
    }
}

#[tokio::test]
async fn every_call_is_for_those_whom_it_is_for() {
    let served = serve();
    let calls = calls();
    assert!(READERS.iter().all(|path| calls.iter().any(|call| call == path)), "{calls:?}");
    for (kind, caller) in callers() {
        for path in &calls {
            let ended = served.call(&caller, path).await;
            // The authority is nobody's here: without one the service is not there.
            if path.starts_with(NODES) && !["refused", "revoked reader"].contains(&kind) {
                assert_eq!(ended.unwrap().code(), Code::Unimplemented, "{kind} {path}");
                continue;
            }
            let denied = ended.as_ref().filter(|status| status.code() == Code::PermissionDenied);
            // Nodes are enrolled at the socket alone, which is said there.
            if kind == "plane" && path.ends_with("/EnrollNode") {
                assert!(denied.is_some());
                continue;
            }
            assert_eq!(denied.is_none(), may(kind, path), "{kind} {path}: {ended:?}");
            if let Some(status) = denied {
                assert_eq!(status.message(), PERMISSION_DENIED, "{kind} {path}");
            }
        }
    }
}

#[tokio::test]
async fn records_are_scoped_by_who_asks() {
    let served = serve();
    for (kind, wanted) in
        [("local", Scope::Everything), ("plane", Scope::Everything), ("reader", Scope::Tenant("red".into()))]
    {
        assert!(served.call(&callers()[kind], "/enforcer.v1.NodeService/Observe").await.is_none());
        assert_eq!(served.scopes.lock().unwrap().pop(), Some(wanted), "{kind}");
    }
    for kind in ["node", "refused", "revoked reader"] {
        assert!(served.call(&callers()[kind], "/enforcer.v1.NodeService/Observe").await.is_some());
        assert!(served.scopes.lock().unwrap().is_empty(), "{kind}");
    }
}
