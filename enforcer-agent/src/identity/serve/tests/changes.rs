//! Streams while the world changes: certificates, bundles, policy, processes, the agent itself.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use enforcer_proto::spiffe::{JwtBundlesRequest, X509BundlesRequest, X509svidRequest, X509svidResponse};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::transport::{Endpoint, Uri};
use tonic::{Code, Status, Streaming};

use super::material::{Authority, emptied, federated, granted};
use super::{Client, PATIENCE, Scene, client, member, until};
use crate::identity::svid::{Material, Standing};

async fn open(client: &mut Client) -> Streaming<X509svidResponse> {
    client.fetch_x509svid(X509svidRequest {}).await.unwrap().into_inner()
}

async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    timeout(PATIENCE, stream.message()).await.expect("a message or the end").map(Option::unwrap)
}

/// A stream that has had its first message.
async fn opened(scene: &Scene) -> Streaming<X509svidResponse> {
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    let mut stream = open(&mut scene.client("red-1", "red").await).await;
    next(&mut stream).await.unwrap();
    stream
}

#[tokio::test]
async fn a_workload_that_loses_its_identity_is_told_so() {
    let scene = Scene::new();
    let mut closed = opened(&scene).await;
    scene.grant("red-1", Standing::Closed("revoked".into()));
    assert_eq!(next(&mut closed).await.unwrap_err().code(), Code::PermissionDenied);

    let mut removed = opened(&scene).await;
    scene.wallet.remove(&"red-1".into());
    assert_eq!(next(&mut removed).await.unwrap_err().code(), Code::PermissionDenied);
}

/// E-4.
#[tokio::test]
async fn a_process_that_is_another_workload_by_now_gets_nothing_more() {
    let scene = Scene::new();
    for who in [None, Some(member("red-2", "red"))] {
        let mut stream = opened(&scene).await;
        scene.attest.change(who);
        assert_eq!(next(&mut stream).await.unwrap_err().code(), Code::PermissionDenied, "the policy changed");
    }
    let mut stream = opened(&scene).await;
    scene.attest.move_all(Some(member("red-2", "red")));
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    assert_eq!(
        next(&mut stream).await.unwrap_err().code(),
        Code::PermissionDenied,
        "nobody said that it moved"
    );
}

#[tokio::test]
async fn a_policy_that_says_the_same_ends_no_stream() {
    let scene = Scene::new();
    let mut stream = opened(&scene).await;
    scene.attest.change(Some(member("red-1", "red")));
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/b"));
    let message = next(&mut stream).await.unwrap();
    assert_eq!(message.svids[0].spiffe_id, "spiffe://red.fleet.example/b");
}

/// E-5.
#[tokio::test]
async fn the_end_of_the_agent_is_no_refusal() {
    let mut scene = Scene::new();
    let mut stream = opened(&scene).await;
    scene.stopper.stop();
    assert_eq!(next(&mut stream).await.unwrap_err().code(), Code::Unavailable);
    timeout(PATIENCE, scene.tasks.join_next()).await.expect("it ends").unwrap().unwrap();
    assert!(!scene.socket.exists());
}

/// W-3, W-6, W-8: a message for each change of what it is about, and for nothing else.
#[tokio::test]
async fn bundles_are_sent_again_when_they_change() {
    let scene = Scene::new();
    let (red, blue) = (Authority::new("red.fleet.example"), Authority::new("blue.fleet.example"));
    scene.grant("red-1", red.granted("/a"));
    let mut client = scene.client("red-1", "red").await;
    let mut x509 = client.fetch_x509_bundles(X509BundlesRequest {}).await.unwrap().into_inner();
    let mut jwt = client.fetch_jwt_bundles(JwtBundlesRequest {}).await.unwrap().into_inner();
    let mut svids = open(&mut client).await;
    assert_eq!(next(&mut x509).await.unwrap().bundles.len(), 1);
    assert_eq!(next(&mut jwt).await.unwrap().bundles.len(), 1);
    next(&mut svids).await.unwrap();

    // A new certificate alone is only for those who asked for it.
    scene.grant("red-1", red.granted("/a"));
    next(&mut svids).await.unwrap();
    scene.grant("red-1", granted(federated(red.material("/a"), &[&blue])));
    assert_eq!(next(&mut x509).await.unwrap().bundles.len(), 2);
    assert_eq!(next(&mut jwt).await.unwrap().bundles.len(), 2);
    assert_eq!(next(&mut svids).await.unwrap().federated_bundles.len(), 1);

    // A federated trust domain that nobody holds any more is withdrawn (B-4).
    let material = red.material("/a");
    let void = BTreeMap::from([(blue.bundle.trust_domain.clone(), emptied(&blue.bundle))]);
    scene.grant("red-1", granted(Material { federated: void, ..material }));
    assert_eq!(next(&mut x509).await.unwrap().bundles.len(), 1);
    assert!(next(&mut svids).await.unwrap().federated_bundles.is_empty());
}

#[tokio::test]
async fn revocation_lists_go_with_the_bundles() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    let crl = red.crl();
    scene.grant("red-1", granted(Material { crls: red.lists(vec![crl.clone()]), ..red.material("/a") }));
    let mut client = scene.client("red-1", "red").await;
    assert_eq!(next(&mut open(&mut client).await).await.unwrap().crl, [crl.to_vec()]);
    let mut bundles = client.fetch_x509_bundles(X509BundlesRequest {}).await.unwrap().into_inner();
    assert_eq!(next(&mut bundles).await.unwrap().crl, [crl.to_vec()]);
}

/// Where the child's end of the connection is, for the parent to take.
const CHILDS_FD: i32 = 200;

/// A process that connects and then only lives.
fn connected_child(scene: &Scene) -> Child {
    let socket = scene.socket.clone();
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    // SAFETY: the child is a copy of one thread; all it does is connect and keep the descriptor.
    unsafe {
        command.pre_exec(move || {
            let stream = std::os::unix::net::UnixStream::connect(&socket)?;
            if libc::dup2(stream.as_raw_fd(), CHILDS_FD) < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// The child's end of the connection, handed on to this process.
fn taken_from(child: &Child) -> UnixStream {
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: both calls take integers; what they return is a new descriptor of this process, or less than zero.
    let stream = unsafe {
        let pidfd = i32::try_from(libc::syscall(libc::SYS_pidfd_open, pid, 0)).unwrap();
        assert!(pidfd >= 0, "{}", io::Error::last_os_error());
        let pidfd = OwnedFd::from_raw_fd(pidfd);
        let fd = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), CHILDS_FD, 0);
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        std::os::unix::net::UnixStream::from_raw_fd(i32::try_from(fd).unwrap())
    };
    stream.set_nonblocking(true).unwrap();
    UnixStream::from_std(stream).unwrap()
}

/// Its connection stays open, in other hands: its streams end all the same, and nothing else is answered.
#[tokio::test]
async fn a_caller_that_ends_takes_its_streams_with_it() {
    let scene = Scene::new();
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    let before = scene.attest.come(Some(member("red-1", "red")));
    let mut child = connected_child(&scene);
    scene.attest.received(before).await;
    let stream = Arc::new(std::sync::Mutex::new(Some(taken_from(&child))));
    let connect = tower::service_fn(move |_: Uri| {
        let stream = stream.lock().unwrap().take();
        async move { stream.map(TokioIo::new).ok_or_else(|| io::Error::other("once only")) }
    });
    let channel = Endpoint::from_static("http://agent").connect_with_connector(connect).await.unwrap();
    let mut client = client(channel);
    let mut stream = open(&mut client).await;
    next(&mut stream).await.unwrap();

    child.stdin.take().unwrap().flush().unwrap();
    child.wait().unwrap();
    assert_eq!(next(&mut stream).await.unwrap_err().code(), Code::PermissionDenied);
    until("its place is free", || scene.wallet.followers(&"red-1".into()) == 0).await;
}
