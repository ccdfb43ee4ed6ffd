//! Opening and closing a post.

use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};

use enforcer_common::maps::{INTERCEPT_PORT, TUNNEL_PORT};
use enforcer_core::node::TunnelEnd;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::scene::*;
use super::*;
use crate::proxy::post::handover::Stock;

fn open(spec: PostSpec) -> Result<Post, PostError> {
    Post::open(spec, &mut Stock::default())
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_post_stands_on_each_address_and_leaves_nothing_behind() {
    on_a_node(async || {
        let pod = Pod::new();
        ip(&format!("-n {} link set lo up", pod.name));
        let before = pod.routing();
        let post = pod.post();
        let end = TunnelEnd { v4: Some(POD[0].parse().unwrap()), v6: Some(POD[1].parse().unwrap()) };
        assert_eq!(post.end(), end);
        assert_eq!(post.listeners().len(), 4);
        let during = pod.routing();
        assert_ne!(during, before);
        drop(open(pod.spec()).unwrap_err());
        assert_eq!(pod.routing(), during, "one that does not come about leaves the other's alone");
        drop(post);

        let post = pod.post();
        assert_eq!(pod.routing(), during);
        post.close().unwrap();
        assert_eq!(pod.routing(), before);
        pod.post().leave();
        assert_eq!(pod.routing(), during);
        let again = pod.post();
        assert_eq!(pod.routing(), during, "what is there is not doubled");
        drop(again);
        assert_eq!(pod.routing(), before);
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn what_the_workload_had_switched_on_stays_on() {
    on_a_node(async || {
        let pod = Pod::new();
        ip(&format!("-n {} link set lo up", pod.name));
        let path = "/proc/sys/net/ipv4/tcp_fwmark_accept";
        pod.namespace().enter(|| std::fs::write(path, "1").unwrap()).unwrap();
        let before = pod.routing();
        drop(pod.post());
        assert_eq!(pod.routing(), before);
    });
}

/// As in a container: this thread gets mounts of its own, in which `/proc/sys` is read-only.
fn make_switches_read_only() {
    let nothing: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).unwrap();
    mount(Some("/proc/sys"), "/proc/sys", nothing, MsFlags::MS_BIND, nothing).unwrap();
    let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(nothing, "/proc/sys", nothing, again, nothing).unwrap();
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_container_has_switches_that_are_read_only_and_sets_them_all_the_same() {
    on_a_node(async || {
        let pod = Pod::new();
        ip(&format!("-n {} link set lo up", pod.name));
        let before = pod.routing();
        make_switches_read_only();
        assert!(std::fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1").is_err());
        let post = pod.post();
        assert!(pod.routing().ends_with("1 1 1"), "{}", pod.routing());
        drop(post);
        assert_eq!(pod.routing(), before);
        assert!(before.ends_with("0 0 0"), "{before}");
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn loopback_is_set_up_where_it_is_down() {
    on_a_node(async || {
        let pod = Pod::new();
        assert!(ip(&format!("-n {} link show lo", pod.name)).contains("DOWN"));
        let _post = pod.post();
        assert!(ip(&format!("-n {} link show lo", pod.name)).contains("UP"));
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_port_that_the_workload_took_is_an_error_and_nothing_stays() {
    on_a_node(async || {
        let pod = Pod::new();
        ip(&format!("-n {} link set lo up", pod.name));
        let before = pod.routing();
        for taken in [at(POD[1], TUNNEL_PORT), at("0.0.0.0", INTERCEPT_PORT)] {
            let workloads = pod.namespace().enter(|| TcpListener::bind(taken).unwrap()).unwrap();
            let error = open(pod.spec()).unwrap_err();
            assert!(matches!(error, PostError::Taken { port, .. } if port == taken.port()), "{error}");
            assert_eq!(pod.routing(), before);
            drop(workloads);
            assert_eq!(pod.post().listeners().len(), 4, "nothing of the attempt is in the way");
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn an_address_that_comes_later_is_taken_up_then() {
    on_a_node(async || {
        let pod = Pod::new();
        ip(&format!("-n {} addr del {}/64 dev eth0", pod.name, POD[1]));
        let mut post = pod.post();
        assert_eq!((post.end().v6, post.missing().len()), (None, 1));
        assert!(!post.complete().unwrap());
        assert_eq!(post.missing().len(), 1);
        ip(&format!("-n {} addr add {}/64 dev eth0 nodad", pod.name, POD[1]));
        assert!(post.complete().unwrap());
        assert_eq!(post.end().v6, Some(POD[1].parse().unwrap()));
        assert!(post.missing().is_empty());

        let application = pod.application(at(POD[1], 8080));
        let mut stream = connect_in(&pod.namespace(), address(CLIENT[1]), at(POD[1], 8080)).await.unwrap();
        assert_eq!(exchange(&mut stream, b"late").await, b"late");
        assert_eq!(application.join().unwrap(), address(CLIENT[1]));
        let elsewhere = PostSpec { place: Place::Pod(vec!["203.0.113.1".parse().unwrap()]), ..pod.spec() };
        assert!(matches!(open(elsewhere), Err(PostError::NoAddress(_))));
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn the_nodes_own_post_is_on_loopback_and_routes_nothing() {
    on_a_node(async || {
        let namespace = Namespace::here().unwrap();
        let rules = ip("rule");
        let spec = PostSpec { workload: "".into(), namespace, place: Place::Node };
        let post = open(spec).unwrap();
        let found: Vec<String> =
            post.listeners().iter().map(|listener| listener.address().to_string()).collect();
        assert_eq!(found, ["127.0.0.1", "::1"]);
        assert!(post.listeners().iter().all(|listener| listener.role() == Role::Intercept));
        assert_eq!(ip("rule"), rules);
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_thread_that_was_inside_comes_back_whatever_happens_there() {
    on_a_node(async || {
        let pod = Pod::new();
        let (inside, outside) = (pod.namespace(), Namespace::here().unwrap());
        assert_ne!(inside.id(), outside.id());
        assert_ne!(inside.cookie(), outside.cookie());
        let seen = inside.enter(|| Namespace::here().unwrap()).unwrap();
        assert_eq!((seen.id(), seen.cookie()), (inside.id(), inside.cookie()));
        assert!(inside.is_at(&pod.path()) && !outside.is_at(&pod.path()));
        let panic = catch_unwind(AssertUnwindSafe(|| inside.enter(|| panic!("inside"))));
        assert!(panic.is_err());
        assert_eq!(Namespace::here().unwrap().id(), outside.id());
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn what_is_no_network_namespace_is_refused() {
    on_a_node(async || {
        for path in ["/proc/self/ns/mnt", "/proc/self/status", "/proc/self"] {
            let outcome = Namespace::open(path.as_ref());
            assert!(matches!(outcome, Err(NamespaceError::System { .. })), "{path}");
        }
        let outcome = Namespace::open("/run/netns/tpost-absent".as_ref());
        assert!(matches!(outcome, Err(NamespaceError::Missing(_))));
    });
}
