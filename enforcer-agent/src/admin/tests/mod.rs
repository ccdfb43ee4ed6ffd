//! The doors and services from outside, over real sockets, with a policy room that answers by rote.

mod callers;
mod detect;
mod doors;
mod garbage;
mod network;
mod services;
mod tunnel;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use enforcer_core::policy::problem::Problem;
use enforcer_proto::v1::policy_service_client::PolicyServiceClient;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint, Uri};

use super::listen::local::LocalDoor;
use super::listen::network::NetworkDoor;
use super::{Admin, NodeIdentity};
use crate::door::policy::{Accepted, Command, InForce, PolicyDoor, Refusal, Revision, Submission};
use crate::door::stop::Stopper;
use crate::door::tunnel::TunnelDoor;

/// A served admin room.
struct Served {
    socket: PathBuf,
    in_force: watch::Sender<Arc<InForce>>,
    stopper: Stopper,
    tasks: JoinSet<()>,
    _directory: TempDir,
}

fn in_force(number: u64, ready: bool) -> Arc<InForce> {
    let current = Arc::new(Revision {
        number,
        time: 1,
        author: "test".to_owned(),
        source: "push".to_owned(),
        digest: None,
        policy: Arc::default(),
    });
    Arc::new(InForce { history: vec![Arc::clone(&current)], current, facts: Arc::default(), ready })
}

async fn serve() -> Served {
    serve_with(None).await
}

async fn serve_with(network: Option<NetworkDoor>) -> Served {
    serve_all(network, None).await
}

async fn serve_all(network: Option<NetworkDoor>, tunnel: Option<TunnelDoor>) -> Served {
    let directory = TempDir::new().unwrap();
    let socket = directory.path().join("agent.sock");
    let sender = watch::Sender::new(in_force(0, false));
    let (commands, inbox) = mpsc::channel(4);
    let door = PolicyDoor::new(commands, sender.subscribe());
    let stopper = Stopper::default();
    let mut tasks = JoinSet::new();
    tasks.spawn(answer(inbox, sender.clone()));
    let admin = admin(door, tunnel);
    let local = LocalDoor::open(&socket, &Default::default()).unwrap();
    let stop = stopper.listener();
    tasks.spawn(async move { admin.serve(local, network, stop).await.unwrap() });
    Served { socket, in_force: sender, stopper, tasks, _directory: directory }
}

fn admin(policy: PolicyDoor, tunnel: Option<TunnelDoor>) -> Admin {
    Admin {
        policy,
        observe: Arc::new(|_, _| Err("no records here".to_owned())),
        identity: None,
        authority: None,
        tunnel,
        trace: None,
        detect: None,
        device: crate::door::device::DeviceDoors::default(),
        node: Arc::new(NodeIdentity {
            name: "here".to_owned(),
            version: "0".to_owned(),
            kernel: "0".to_owned(),
            device_gate_mode: "enforce".to_owned(),
            started: SystemTime::UNIX_EPOCH,
        }),
        clock: || 1,
    }
}

/// Takes what changes something, refuses the rest: enough for a service to show what it makes of both.
async fn answer(mut inbox: mpsc::Receiver<Command>, in_force_now: watch::Sender<Arc<InForce>>) {
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Apply(submission, reply) => {
                let number = in_force_now.borrow().current.number;
                reply.send(verdict(&submission, number)).unwrap();
                in_force_now.send_replace(in_force(number + 1, true));
            }
            other => drop(other),
        }
    }
}

fn verdict(submission: &Submission, number: u64) -> Result<Accepted, Refusal> {
    match submission.base_revision {
        Some(base) if base != number => Err(Refusal {
            problems: vec![Problem::new("stale_base_revision", "base_revision", "stale")],
            revision_in_force: number,
        }),
        _ => Ok(Accepted {
            revision: number + 1,
            digest: [7; 32],
            elapsed: Duration::from_millis(3),
            warnings: vec![submission.author.clone()],
        }),
    }
}

async fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    Endpoint::from_static("http://agent")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
        .unwrap()
}

async fn client(served: &Served) -> PolicyServiceClient<Channel> {
    PolicyServiceClient::new(channel(&served.socket).await)
}
