//! Against the kernel: cgroup2, interfaces and namespaces. The tests that need root are ignored unless asked
//! for by name (`--ignored`).

use std::path::Path;
use std::sync::Arc;

use enforcer_common::maps::CGROUP_LEVELS;

use super::*;

/// A directory of cgroup2, wherever this machine has it.
fn cgroup2() -> PathBuf {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 mount");
    PathBuf::from(line.split(' ').nth(4).unwrap())
}

fn workload(name: &str) -> Workload {
    Workload {
        name: name.into(),
        tenant: "red".into(),
        node: None,
        cgroup: None,
        interface: None,
        network_namespace: None,
        host_network: false,
        addresses: Vec::new(),
        namespace: String::new(),
        service_account: String::new(),
        lease_until: None,
        encapsulations: 0,
    }
}

fn policy(workloads: impl IntoIterator<Item = Workload>) -> Policy {
    let mut policy = Policy::default();
    for workload in workloads {
        policy.workloads.insert(workload.name.clone(), Arc::new(workload));
    }
    policy
}

fn resolver() -> Resolver {
    Resolver::new("node-1".to_owned(), CgroupTree::new(&cgroup2()).unwrap())
}

fn told(resolution: &Resolution) -> Vec<String> {
    resolution.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_workload_that_is_nowhere_is_a_warning_and_no_error() {
    let resolution = resolver()
        .resolve(&policy([
            Workload { cgroup: Some("/enforcer-test-absent".to_owned()), ..workload("a") },
            Workload { interface: Some("enforcer-none".to_owned()), ..workload("b") },
            Workload { network_namespace: Some("/enforcer/absent".to_owned()), ..workload("c") },
            Workload { network_namespace: Some("/proc/self/status".to_owned()), ..workload("d") },
            Workload { network_namespace: Some("/proc/self/ns/net".to_owned()), ..workload("e") },
        ]))
        .unwrap();
    assert!(resolution.attachments.is_empty());
    let told = told(&resolution);
    assert_eq!(told.len(), 5, "{told:#?}");
    assert_eq!(told[0], "workload a: control group /enforcer-test-absent does not exist");
    assert_eq!(told[1], "workload b: interface enforcer-none does not exist");
    assert_eq!(told[2], "workload c: network namespace /enforcer/absent does not exist");
    assert!(told[3].starts_with("workload d: network namespace /proc/self/status: "), "{}", told[3]);
    assert!(told[4].starts_with("workload e: network namespace /proc/self/ns/net"), "{}", told[4]);
}

#[test]
fn loopback_is_no_workloads_interface() {
    let lo = Workload { interface: Some("lo".to_owned()), ..workload("a") };
    let resolution = resolver().resolve(&policy([lo])).unwrap();
    assert!(resolution.attachments.is_empty());
    assert_eq!(told(&resolution), ["workload a: interface lo does not exist"]);
}

#[test]
fn workloads_of_other_nodes_are_not_looked_for() {
    let elsewhere =
        Workload { node: Some("node-2".into()), cgroup: Some("/absent".to_owned()), ..workload("a") };
    let resolution = resolver().resolve(&policy([elsewhere])).unwrap();
    assert_eq!(resolution.warnings, []);
}

#[test]
fn the_root_group_has_an_id_and_the_id_leads_back() {
    let tree = CgroupTree::new(&cgroup2()).unwrap();
    let id = tree.id_of("/").unwrap().unwrap();
    assert_eq!(tree.id_of("/").unwrap(), Some(id));
    // Opening by handle needs CAP_DAC_READ_SEARCH.
    if nix::unistd::geteuid().is_root() {
        assert_eq!(tree.path_of(id).as_deref(), Some("/"));
        assert_eq!(tree.path_of(u64::MAX), None);
    }
}

#[test]
fn paths_that_leave_the_hierarchy_are_refused() {
    let tree = CgroupTree::new(&cgroup2()).unwrap();
    for path in ["", "relative", "/..", "/a/../b", "/./a", "/a\0b"] {
        assert!(matches!(tree.id_of(path), Err(CgroupError::Path(_))), "{path:?}");
    }
    assert!(matches!(CgroupTree::new(Path::new("/proc")), Err(CgroupError::NotCgroup2(_))));
}

/// A thread in a network namespace of its own, which lasts as long as this value.
struct Namespace {
    path: String,
    thread: libc::pid_t,
    _open: std::sync::mpsc::Sender<()>,
}

impl Namespace {
    fn new() -> Self {
        let (open, until_closed) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            assert!(until_closed.recv().is_err(), "nothing is ever sent");
        });
        let thread = told.recv().unwrap();
        Self { path: format!("/proc/self/task/{thread}/ns/net"), thread, _open: open }
    }
}

/// `ip` in the calling thread's namespace, which a child inherits.
fn ip(arguments: &str) {
    let status = std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// The whole scene, "this node" included, is in namespaces that end with their threads.
#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn each_namespace_leads_to_its_own_end_though_indices_repeat() {
    let node = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let (a, b) = (Namespace::new(), Namespace::new());
        ip(&format!("link add host-a type veth peer name eth0 netns {}", a.thread));
        ip(&format!("link add host-b type veth peer name eth0 netns {}", b.thread));
        ip("addr add 192.0.2.1/24 dev host-a");
        let of = |namespace: &Namespace, name: &str| Workload {
            network_namespace: Some(namespace.path.clone()),
            ..workload(name)
        };
        let both = policy([
            of(&a, "a"),
            of(&b, "b"),
            Workload { interface: Some("host-b".to_owned()), ..of(&b, "named") },
            Workload { interface: Some("host-a".to_owned()), ..of(&b, "wrong") },
        ]);
        let mut resolver = resolver();
        let first = resolver.resolve(&both).unwrap();
        let index = |name: &str| nix::net::if_::if_nametoindex(name).unwrap();
        let found = |resolution: &Resolution, name: &str| {
            resolution.attachments.get(name).and_then(|attachment| attachment.interface)
        };
        assert_eq!(found(&first, "a"), Some(index("host-a")), "{:?}", first.warnings);
        assert_eq!(found(&first, "b"), Some(index("host-b")));
        assert_eq!(found(&first, "named"), Some(index("host-b")));
        assert_eq!(found(&first, "wrong"), None);
        assert_eq!(told(&first), ["workload wrong: its interface is not the one of its network namespace"]);
        assert_eq!(first.addresses, BTreeSet::from(["192.0.2.1".parse().unwrap()]));
        assert_eq!(resolver.resolve(&both).unwrap(), first, "what is remembered is what was found");

        ip("link del host-a");
        let gone = resolver.resolve(&both).unwrap();
        assert_eq!(found(&gone, "a"), None);
        assert_eq!(found(&gone, "b"), Some(index("host-b")));

        ip(&format!("link add host-a type veth peer name eth0 netns {}", a.thread));
        ip(&format!("link add host-c type veth peer name eth1 netns {}", a.thread));
        let several = resolver.resolve(&both).unwrap();
        assert_eq!(found(&several, "a"), None);
        assert!(told(&several)[0].contains("2 veth pairs"), "{:?}", several.warnings);
    });
    node.join().unwrap();
}

/// A control group that goes with this value.
struct Group(PathBuf);

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
#[ignore = "makes control groups: needs root"]
fn a_control_group_is_found_when_it_comes_and_missed_when_it_goes() {
    let name = format!("/enforcer-resolve-{}", std::process::id());
    let tree = CgroupTree::new(&cgroup2()).unwrap();
    let one = policy([Workload { cgroup: Some(name.clone()), ..workload("a") }]);
    let mut resolver = resolver();
    assert!(resolver.resolve(&one).unwrap().attachments.is_empty());

    let group = Group(cgroup2().join(name.trim_start_matches('/')));
    std::fs::create_dir(&group.0).unwrap();
    let inner = Group(group.0.join("inner"));
    std::fs::create_dir(&inner.0).unwrap();
    let id = resolver.resolve(&one).unwrap().attachments["a"].cgroup.unwrap();
    assert_eq!(tree.path_of(id), Some(name.clone()));
    let below = tree.id_of(&format!("{name}/inner")).unwrap().unwrap();
    assert_ne!(below, id);
    assert_eq!(tree.path_of(below), Some(format!("{name}/inner")));
    let part = CgroupTree::new(&group.0).unwrap();
    assert_eq!(part.path_of(below).as_deref(), Some("/inner"));
    assert_eq!(part.path_of(tree.id_of("/").unwrap().unwrap()), None, "outside of this part");

    drop(inner);
    drop(group);
    assert!(resolver.resolve(&one).unwrap().attachments.is_empty());
    assert_eq!(tree.path_of(id), None);
}

#[test]
#[ignore = "makes control groups: needs root"]
fn a_control_group_below_the_levels_that_are_looked_at_is_refused() {
    let tree = CgroupTree::new(&cgroup2()).unwrap();
    let top = format!("/enforcer-depth-{}", std::process::id());
    let mut groups = Vec::new();
    let mut path = top;
    for _ in 1..CGROUP_LEVELS {
        let group = Group(cgroup2().join(path.trim_start_matches('/')));
        std::fs::create_dir(&group.0).unwrap();
        groups.push(group);
        assert!(tree.id_of(&path).unwrap().is_some(), "{path}");
        path.push_str("/d");
    }
    let below = Group(cgroup2().join(path.trim_start_matches('/')));
    std::fs::create_dir(&below.0).unwrap();
    assert!(matches!(tree.id_of(&path), Err(CgroupError::TooDeep(_))));
    drop(below);
    while groups.pop().is_some() {}
}
