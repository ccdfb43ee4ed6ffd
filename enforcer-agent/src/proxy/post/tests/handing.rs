//! Listeners that go from one agent to the next.

use std::io::Write as _;
use std::net::TcpStream as StdTcpStream;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use enforcer_common::maps::TUNNEL_PORT;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::time::{sleep, timeout};

use super::scene::*;
use super::*;
use crate::proxy::post::handover::store::{Store, inherited};
use crate::proxy::post::handover::{Handed, HandoverError, Stock, offer, take};

/// Takes over as soon as somebody offers.
async fn taken(path: &Path) -> Stock {
    while !path.exists() {
        sleep(Duration::from_millis(5)).await;
    }
    Stock::new(take(path).await.unwrap())
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn connections_that_wait_survive_the_change_of_agents() {
    on_a_node(async || {
        let (pod, directory) = (Pod::new(), TempDir::new().unwrap());
        let path = directory.path().join("handover");
        let old = pod.post();
        let mut waiting: Vec<StdTcpStream> = (0..2000)
            .map(|at| StdTcpStream::connect((POD[at % 2], TUNNEL_PORT)).expect("the backlog holds it"))
            .collect();
        for (number, client) in waiting.iter_mut().enumerate() {
            client.write_all(&u32::try_from(number).unwrap().to_be_bytes()).unwrap();
        }
        let (handed, mut stock) = tokio::join!(offer(&path, || old.listeners().to_vec()), taken(&path));
        assert_eq!((handed.unwrap(), stock.len()), (4, 4));
        assert!(!path.exists(), "the name is the successor's");
        old.leave();

        let new = Post::open(pod.spec(), &mut stock).unwrap();
        assert!(stock.is_empty());
        let mut heard = Vec::new();
        for listener in new.listeners().iter().filter(|listener| listener.role() == Role::Tunnel) {
            for _ in 0..1000 {
                let (mut stream, _) =
                    timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
                heard.push(stream.read_u32().await.unwrap());
            }
        }
        heard.sort_unstable();
        assert_eq!(heard, (0..2000).collect::<Vec<u32>>());
        let application = pod.application(at(POD[0], 8080));
        let mut stream = connect_in(&pod.namespace(), address(CLIENT[0]), at(POD[0], 8080)).await.unwrap();
        assert_eq!(exchange(&mut stream, b"on").await, b"on", "the routes are the successor's now");
        application.join().unwrap();
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_successor_that_dies_has_taken_nothing() {
    on_a_node(async || {
        let (pod, directory) = (Pod::new(), TempDir::new().unwrap());
        let path = directory.path().join("handover");
        let old = pod.post();
        let successors = async {
            while !path.exists() {
                sleep(Duration::from_millis(5)).await;
            }
            drop(tokio::net::UnixStream::connect(&path).await.unwrap());
            let mut stock = Stock::default();
            // Until it is offered again.
            while stock.is_empty() {
                sleep(Duration::from_millis(5)).await;
                stock = Stock::new(take(&path).await.unwrap_or_default());
            }
            stock
        };
        let (handed, stock) = tokio::join!(offer(&path, || old.listeners().to_vec()), successors);
        assert_eq!((handed.unwrap(), stock.len()), (4, 4));
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn more_listeners_than_fit_one_message_are_handed_over() {
    on_a_node(async || {
        let (pod, directory) = (Pod::new(), TempDir::new().unwrap());
        let path = directory.path().join("handover");
        let old = pod.post();
        let many = || old.listeners().iter().cycle().take(1000).cloned().collect();
        let (handed, stock) = tokio::join!(offer(&path, many), async {
            while !path.exists() {
                sleep(Duration::from_millis(5)).await;
            }
            take(&path).await.unwrap()
        });
        assert_eq!((handed.unwrap(), stock.len()), (1000, 1000));
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn what_is_not_what_it_is_said_to_be_is_not_taken_up() {
    on_a_node(async || {
        let pod = Pod::new();
        let namespace = pod.namespace().cookie();
        let spot = Spot { namespace, role: Role::Tunnel, address: POD[0].parse().unwrap() };
        let elsewhere = std::net::TcpListener::bind(at("192.0.2.1", TUNNEL_PORT)).unwrap();
        let unbound = pod.namespace().tcp_socket(nix::sys::socket::AddressFamily::Inet).unwrap();
        let other_port =
            pod.namespace().enter(|| std::net::TcpListener::bind(at(POD[0], 1)).unwrap()).unwrap();
        let file = std::fs::File::open("/dev/null").unwrap();
        for socket in [elsewhere.into(), unbound, other_port.into(), file.into()] {
            let mut stock = Stock::new([Handed { spot, socket }]);
            assert!(stock.is_empty());
            let post = Post::open(pod.spec(), &mut stock).unwrap();
            let mut client = StdTcpStream::connect((POD[0], TUNNEL_PORT)).unwrap();
            client.write_all(b"x").unwrap();
            let tunnel = |listener: &&Listener| listener.role() == Role::Tunnel;
            let listener = post.listeners().iter().find(tunnel).unwrap();
            timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        }
    });
}

#[test]
#[ignore = "becomes another user: needs root"]
fn a_stranger_gets_nothing() {
    on_a_node(async || {
        let directory = TempDir::new().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().join("handover");
        let place = path.clone();
        let stranger = std::thread::spawn(move || {
            while !place.exists() {
                std::thread::sleep(Duration::from_millis(5));
            }
            let mode = std::fs::metadata(&place).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600);
            std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o666)).unwrap();
            // The call without the library: this thread alone becomes another user.
            // SAFETY: the call takes three integers and no memory.
            assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { take(&place).await.map(|handed| handed.len()) })
        });
        let waited = timeout(Duration::from_secs(1), offer(&path, Vec::new)).await;
        assert!(waited.is_err(), "nobody was served");
        let refused = stranger.join().unwrap();
        assert!(matches!(refused, Err(HandoverError::Silent | HandoverError::Io { .. })), "{refused:?}");
    });
}

#[test]
#[ignore = "becomes another user: needs root"]
fn nothing_is_taken_from_a_stranger() {
    let directory = TempDir::new().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = directory.path().join("handover");
    let place = path.clone();
    let _listener = std::thread::spawn(move || {
        // SAFETY: the call takes three integers and no memory; it concerns this thread alone.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) }, 0);
        std::os::unix::net::UnixListener::bind(&place).unwrap()
    })
    .join()
    .unwrap();
    on_a_node(async move || {
        let refused = take(&path).await;
        assert!(matches!(refused, Err(HandoverError::Stranger(65534))), "{refused:?}");
    });
}

#[tokio::test]
async fn without_a_predecessor_there_is_nothing_to_take() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("handover");
    assert!(take(&path).await.unwrap().is_empty());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(take(&path).await.unwrap().is_empty(), "a dead one's name");
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn the_service_manager_keeps_a_listener_under_a_name_that_says_what_it_is() {
    on_a_node(async || {
        let (pod, directory) = (Pod::new(), TempDir::new().unwrap());
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let store = Store::at(path.into_os_string());
        let post = pod.post();
        store.keep(&post.listeners()[..1]);
        let mut bytes = [0; 256];
        let mut parts = [std::io::IoSliceMut::new(&mut bytes)];
        let mut space = nix::cmsg_space!([i32; 4]);
        let message =
            recvmsg::<()>(manager.as_fd().as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())
                .unwrap();
        let passed = message.cmsgs().unwrap().any(
            |control| matches!(control, ControlMessageOwned::ScmRights(descriptors) if descriptors.len() == 1),
        );
        assert!(passed);
        let length = message.bytes;
        let cookie = pod.namespace().cookie();
        let name = format!("enforcer-post/intercept/00000000000000000000ffffc000020a/{cookie:016x}");
        assert_eq!(bytes[..length], *format!("FDSTORE=1\nFDNAME={name}").as_bytes());

        store.forget([post.listeners()[0].spot()]);
        let length = manager.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..length], *format!("FDSTOREREMOVE=1\nFDNAME={name}").as_bytes());
    });
}

/// The service manager passes descriptors 3 and up, and says in the environment to which process. So the test starts
/// itself once more, as that process.
#[test]
#[ignore = "makes network namespaces: needs root, ip(8) and bash(1)"]
fn the_next_process_is_given_what_the_manager_kept() {
    const NAME: &str = "proxy::post::tests::handing::the_next_process_is_given_what_the_manager_kept";
    const POD_NAME: &str = "TPOST_POD";
    if let Some(name) = std::env::var_os(POD_NAME) {
        return given(&Path::new("/run/netns").join(name));
    }
    on_a_node(async || {
        let pod = Pod::new();
        let post = pod.post();
        let mut client = StdTcpStream::connect((POD[1], TUNNEL_PORT)).unwrap();
        client.write_all(b"x").unwrap();
        let is_v6_tunnel =
            |listener: &&Listener| listener.role() == Role::Tunnel && listener.address().is_ipv6();
        let listener = post.listeners().iter().find(is_v6_tunnel).unwrap();
        let kept = fcntl(listener, FcntlArg::F_DUPFD(100)).unwrap();
        // SAFETY: the descriptor was just made, and is nobody else's.
        let kept = unsafe { OwnedFd::from_raw_fd(kept) };
        let raw = kept.as_raw_fd();
        let cookie = pod.namespace().cookie();
        let name = format!("enforcer-post/tunnel/20010db8000200000000000000000010/{cookie:016x}");
        drop(post);
        let child = Command::new("bash")
            .args(["-c", &format!("exec 3</dev/null 4<&{raw} {raw}<&-; LISTEN_PID=$$ exec \"$@\""), "bash"])
            .arg(std::env::current_exe().unwrap())
            .args([NAME, "--exact", "--ignored"])
            .env(POD_NAME, &pod.name)
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDNAMES", format!("other:{name}"))
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        drop(kept);
    });
}

fn given(pod: &Path) {
    let handed = inherited();
    assert_eq!(handed.len(), 1, "another's descriptor is left alone");
    let flags = fcntl(&handed[0].socket, FcntlArg::F_GETFD).unwrap();
    assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
    assert!(inherited().is_empty(), "they are given once");
    let addresses = POD.iter().map(|address| address.parse().unwrap()).collect();
    let spec = PostSpec {
        workload: "red/web".into(),
        namespace: Namespace::open(pod).unwrap(),
        place: Place::Pod(addresses),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut stock = Stock::new(handed);
        let post = Post::open(spec, &mut stock).unwrap();
        assert!(stock.is_empty());
        let is_v6_tunnel =
            |listener: &&Listener| listener.role() == Role::Tunnel && listener.address().is_ipv6();
        let listener = post.listeners().iter().find(is_v6_tunnel).unwrap();
        let (mut stream, _) = timeout(Duration::from_secs(5), listener.accept()).await.unwrap().unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    });
}
