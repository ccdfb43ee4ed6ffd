//! From an interface to the namespace behind it.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use nix::net::if_::if_nametoindex;

use super::scene::*;
use super::*;

fn host() -> u32 {
    if_nametoindex("host").unwrap()
}

fn found(wanted: Wanted) -> Result<Namespace, FindError> {
    find(&[wanted]).unwrap().pop().unwrap()
}

/// A control group with a process that sleeps in some namespace.
struct Group {
    path: PathBuf,
    process: Child,
}

impl Group {
    fn with_process_in(namespace: &Namespace) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup2 mount");
        let root = PathBuf::from(line.split(' ').nth(4).unwrap());
        let path = root.join(format!("tpost-{}", namespace.cookie()));
        let inner = path.join("container");
        std::fs::create_dir_all(&inner).unwrap();
        // A child starts in its parent's namespace.
        let process =
            namespace.enter(|| Command::new("sleep").arg("60").process_group(0).spawn().unwrap()).unwrap();
        std::fs::write(inner.join("cgroup.procs"), process.id().to_string()).unwrap();
        Self { path, process }
    }

    fn end_process(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped_already = self.process.wait();
        for group in [self.path.join("container"), self.path.clone()] {
            // The kernel takes a moment to see that it is empty.
            let _gone = (0..50).find(|_| {
                std::thread::sleep(std::time::Duration::from_millis(10));
                std::fs::remove_dir(&group).is_ok()
            });
        }
    }
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_mounted_namespace_is_found_from_its_interface() {
    on_a_node(async || {
        let pod = Pod::new();
        let namespace = found(Wanted { interface: host(), group: None }).unwrap();
        assert_eq!(namespace.id(), pod.namespace().id());
        assert_eq!(namespace.name(), pod.path().display().to_string());
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn interfaces_without_another_end_are_told_apart() {
    on_a_node(async || {
        let _pod = Pod::new();
        ip("link add loop-a type veth peer name loop-b");
        let own = if_nametoindex("loop-a").unwrap();
        let wanted = [1, own, 9999].map(|interface| Wanted { interface, group: None });
        let told: Vec<String> =
            find(&wanted).unwrap().into_iter().map(|found| found.unwrap_err().to_string()).collect();
        assert_eq!(
            told,
            [
                "interface 1 leads to no other network namespace".to_owned(),
                format!("interface {own} leads to no other network namespace"),
                "interface 9999 is gone".to_owned(),
            ]
        );
    });
}

#[test]
#[ignore = "makes network namespaces and control groups: needs root and ip(8)"]
fn a_namespace_without_a_mount_is_found_at_the_workloads_processes() {
    on_a_node(async || {
        let pod = Pod::new();
        let held = pod.namespace();
        let mut group = Group::with_process_in(&held);
        let stranger = Group::with_process_in(&Namespace::here().unwrap());
        ip(&format!("netns del {}", pod.name));
        let behind = |group: &Path| found(Wanted { interface: host(), group: Some(group.to_owned()) });
        assert_eq!(behind(&group.path).unwrap().id(), held.id());
        assert!(
            matches!(behind(&stranger.path), Err(FindError::Hidden(_))),
            "another's process leads nowhere"
        );
        let path = group.path.clone();
        let left = |group| abandoned([(&held, group)]).unwrap();
        assert!(left(Some(path.as_path())).is_empty());
        assert!(left(None).is_empty());
        group.end_process();
        assert!(matches!(behind(&group.path), Err(FindError::Hidden(_))));
        assert!(left(Some(path.as_path())).contains(&held.id()));
        assert!(left(None).contains(&held.id()));
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_post_in_a_namespace_that_everybody_left_is_known_and_goes() {
    on_a_node(async || {
        let pod = Pod::new();
        let post = pod.post();
        let namespace = &post.spec().namespace;
        assert!(abandoned([(namespace, None)]).unwrap().is_empty());
        ip(&format!("netns del {}", pod.name));
        assert!(!namespace.is_at(&pod.path()));
        assert!(matches!(Namespace::open(&pod.path()), Err(NamespaceError::Missing(_))));
        assert!(if_nametoindex("host").is_ok(), "the post holds the namespace, and that the interface");
        assert!(abandoned([(namespace, None)]).unwrap().contains(&namespace.id()));
        post.close().unwrap();
        let is_gone = (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            if_nametoindex("host").is_err()
        });
        assert!(is_gone, "nothing of the agent's is left there");
    });
}
