//! The whole way, from a socket to the workload, with the running kernel and with what older kernels know.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;

use super::callers::{Caller, Group, How};
use super::policy::{member, places};
use crate::identity::attest::{Attest as _, AttestError, Attestor, Kernel, Process, procfs};
use crate::identity::svid::{Member, Places};
use crate::workload::CgroupTree;

const PATIENCE: Duration = Duration::from_secs(10);

/// Groups for two workloads, a socket to call, and who is asked.
struct Scene {
    attestor: Attestor,
    places: watch::Sender<Arc<Places>>,
    listener: UnixListener,
    socket: PathBuf,
    tree: CgroupTree,
    // Inner groups go before the one that they lie in.
    red: Group,
    blue: Group,
    free: Group,
    top: Group,
    _directory: TempDir,
}

impl Scene {
    fn new(name: &str, kernel: Kernel) -> Self {
        let root = enforcer_cgroup2();
        let top = Group::new(&root, &format!("enforcer-attest-{name}-{kernel:?}-{}", std::process::id()));
        let [red, blue, free] = ["red", "blue", "free"].map(|name| Group::new(&top.0, name));
        let tree = CgroupTree::new(&root).unwrap();
        let sender = watch::Sender::new(Arc::new(Places::new()));
        let (by_id, by_path) = (tree.clone(), tree.clone());
        let attestor = Attestor::new(
            sender.subscribe(),
            Arc::new(move |id| by_id.lineage(*id)),
            Arc::new(move |path| by_path.lineage_of_path(path)),
        );
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let scene = Self {
            attestor: Attestor { kernel, ..attestor },
            places: sender,
            listener,
            socket,
            tree,
            red,
            blue,
            free,
            top,
            _directory: directory,
        };
        scene.place([(&scene.red, red_one()), (&scene.blue, blue_one())]);
        scene
    }

    fn place<const N: usize>(&self, all: [(&Group, Member); N]) {
        let all = all.map(|(group, member)| {
            let path = group.0.strip_prefix(enforcer_cgroup2()).unwrap();
            (self.tree.id_of(&format!("/{}", path.display())).unwrap().unwrap(), member)
        });
        self.places.send_replace(places(all));
    }

    fn start(&self, group: &Group, how: How) -> Caller {
        Caller::start(&group.0, &self.socket, how, None)
    }

    async fn accept(&self) -> UnixStream {
        timeout(PATIENCE, self.listener.accept()).await.expect("it connects").unwrap().0
    }

    /// A caller, and the hold that is taken of it.
    async fn called(&self, group: &Group, how: How) -> (Caller, Process) {
        let caller = self.start(group, how);
        let process = self.attestor.peer(&self.accept().await).unwrap();
        (caller, process)
    }
}

fn red_one() -> Member {
    member("red-1", "red")
}

fn blue_one() -> Member {
    member("blue-1", "blue")
}

/// A directory of cgroup2, wherever this machine has it.
fn enforcer_cgroup2() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 mount");
    PathBuf::from(line.split(' ').nth(4).unwrap())
}

async fn ended(process: &Process) {
    timeout(PATIENCE, process.ended()).await.expect("it ends");
}

/// E-4.
#[tokio::test]
#[ignore = "makes control groups: needs root"]
async fn a_caller_is_the_workload_whose_group_it_is_in() {
    for kernel in [Kernel::Any, Kernel::Old] {
        let scene = Scene::new("is", kernel);
        let inner = Group::new(&scene.red.0, "inner");
        for (group, expected) in [(&scene.red, red_one()), (&inner, red_one()), (&scene.blue, blue_one())] {
            for how in [How::Plainly, How::FromAThread, How::ByAChild] {
                let (_caller, process) = scene.called(group, how).await;
                assert_eq!(scene.attestor.attest(&process).unwrap(), expected, "{how:?} {kernel:?}");
            }
        }
        let (_caller, process) = scene.called(&scene.free, How::Plainly).await;
        let refused = scene.attestor.attest(&process);
        assert!(matches!(refused, Err(AttestError::NoWorkload { .. })), "{refused:?}");
    }
}

#[tokio::test]
#[ignore = "makes control groups: needs root"]
async fn the_answer_follows_the_process_and_the_policy() {
    for kernel in [Kernel::Any, Kernel::Old] {
        let scene = Scene::new("follows", kernel);
        let (caller, process) = scene.called(&scene.red, How::Plainly).await;
        assert_eq!(scene.attestor.attest(&process).unwrap(), red_one());
        caller.move_to(&scene.blue.0);
        assert_eq!(scene.attestor.attest(&process).unwrap(), blue_one());
        caller.move_to(&scene.free.0);
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::NoWorkload { .. })));
        scene.place([(&scene.free, red_one())]);
        assert_eq!(scene.attestor.attest(&process).unwrap(), red_one());
        scene.place([(&scene.free, red_one()), (&scene.top, blue_one())]);
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::Two { .. })));
    }
}

#[tokio::test]
#[ignore = "makes control groups: needs root"]
async fn a_process_that_ended_is_nobody_and_neither_is_who_gets_its_number() {
    for kernel in [Kernel::Any, Kernel::Old] {
        let scene = Scene::new("ended", kernel);
        let (caller, process) = scene.called(&scene.red, How::Plainly).await;
        assert_eq!(scene.attestor.attest(&process).unwrap(), red_one());
        caller.kill();
        ended(&process).await;
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::Gone)), "not yet reaped");
        caller.reap();
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::Gone)), "reaped");
        let heir = Caller::start(&scene.blue.0, &scene.socket, How::NotAtAll, Some(process.pid()));
        assert_eq!(heir.pid(), process.pid());
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::Gone)), "replaced");
    }
}

#[tokio::test]
#[ignore = "makes control groups: needs root"]
async fn a_caller_that_is_replaced_before_it_is_asked_for_is_not_its_heir() {
    let scene = Scene::new("replaced", Kernel::Any);
    let caller = scene.start(&scene.red, How::Plainly);
    let stream = scene.accept().await;
    let accepted = procfs::ticks_since_boot().unwrap();
    caller.kill();
    caller.reap();
    while procfs::ticks_since_boot().unwrap() == accepted {
        std::thread::yield_now();
    }
    let heir = Caller::start(&scene.blue.0, &scene.socket, How::NotAtAll, Some(caller.pid()));
    assert_eq!(heir.pid(), caller.pid());
    assert!(matches!(scene.attestor.peer(&stream), Err(AttestError::Gone)), "by its descriptor");
    let by_number = Process::peer_by_number(&stream, accepted);
    assert!(matches!(by_number, Err(AttestError::Younger { .. })), "{by_number:?}");
}

#[tokio::test]
#[ignore = "makes control groups: needs root"]
async fn a_socket_that_was_left_to_a_child_stays_its_makers() {
    for kernel in [Kernel::Any, Kernel::Old] {
        let scene = Scene::new("left", kernel);
        let (caller, process) = scene.called(&scene.red, How::ForAChild).await;
        assert_eq!(process.pid(), caller.pid());
        assert_eq!(scene.attestor.attest(&process).unwrap(), red_one());
        caller.kill();
        ended(&process).await;
        caller.reap();
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::Gone)));
    }
}

#[tokio::test]
#[ignore = "makes control groups: needs root"]
async fn a_process_without_its_main_thread_is_nobody() {
    for kernel in [Kernel::Any, Kernel::Old] {
        let scene = Scene::new("headless", kernel);
        let (caller, process) = scene.called(&scene.red, How::WithoutMainThread).await;
        let deadline = std::time::Instant::now() + PATIENCE;
        while procfs::stat(caller.pid()).unwrap().state != 'Z' {
            assert!(std::time::Instant::now() < deadline, "its main thread ends");
            std::thread::yield_now();
        }
        assert!(matches!(scene.attestor.attest(&process), Err(AttestError::Gone)));
    }
}

#[test]
#[ignore = "makes control groups: needs root"]
fn a_lineage_goes_from_the_group_to_the_root() {
    let root = enforcer_cgroup2();
    let outer = Group::new(&root, &format!("enforcer-lineage-{}", std::process::id()));
    let inner = Group::new(&outer.0, "inner");
    let tree = CgroupTree::new(&root).unwrap();
    let path = format!("/{}", inner.0.strip_prefix(&root).unwrap().display());
    let id = |path: &str| tree.id_of(path).unwrap().unwrap();
    let expected = vec![id(&path), id(path.trim_end_matches("/inner")), id("/")];
    assert_eq!(tree.lineage(expected[0]), Some(expected.clone()));
    assert_eq!(tree.lineage_of_path(&path), Some(expected.clone()));
    assert_eq!(tree.lineage_of_path("/.."), None);
    assert_eq!(tree.lineage_of_path(&format!("{path} (deleted)")), None);

    let part = CgroupTree::new(&inner.0).unwrap();
    assert_eq!(part.lineage(expected[0]), Some(vec![expected[0]]));
    assert_eq!(part.lineage_of_path(&path), Some(vec![expected[0]]), "paths count from the hierarchy's root");
    assert_eq!(part.lineage(expected[1]), None, "outside of this part");
    drop(inner);
    assert_eq!(tree.lineage(expected[0]), None, "gone");
}
