//! Against the kernel: cgroup2, interfaces, and namespaces made for the purpose. The tests that make
//! namespaces are in `enforcer-tests`, which runs as root; these need no privilege.

use std::path::Path;
use std::sync::Arc;

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
