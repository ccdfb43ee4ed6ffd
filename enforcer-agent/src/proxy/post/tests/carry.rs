//! Connections of the agent inside a pod.

use std::io::ErrorKind;
use std::net::TcpListener;

use enforcer_common::maps::{INTERCEPT_PORT, TUNNEL_PORT};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::scene::*;
use super::*;

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn the_application_sees_its_client_and_the_client_its_answer() {
    on_a_node(async || {
        let pod = Pod::new();
        let _post = pod.post();
        for (host, client) in POD.into_iter().zip(CLIENT) {
            let target = at(host, 8080);
            let application = pod.application(target);
            let mut stream = connect_in(&pod.namespace(), address(client), target).await.unwrap();
            assert_eq!(exchange(&mut stream, b"hello").await, b"hello", "{client}");
            assert_eq!(application.join().unwrap(), address(client));
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn strict_reverse_path_checks_are_no_obstacle() {
    on_a_node(async || {
        let pod = Pod::new();
        let strict = || {
            for interface in ["all", "default", "lo", "eth0"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "1").unwrap();
            }
        };
        pod.namespace().enter(strict).unwrap();
        let _post = pod.post();
        let target = at(POD[0], 8080);
        let application = pod.application(target);
        let mut stream = connect_in(&pod.namespace(), address(CLIENT[0]), target).await.unwrap();
        assert_eq!(exchange(&mut stream, b"hello").await, b"hello");
        assert_eq!(application.join().unwrap(), address(CLIENT[0]));
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn an_application_that_breaks_off_is_heard() {
    on_a_node(async || {
        let pod = Pod::new();
        let _post = pod.post();
        for (host, client) in POD.into_iter().zip(CLIENT) {
            let listener = pod.namespace().enter(|| TcpListener::bind(at(host, 8080)).unwrap()).unwrap();
            let mut stream = connect_in(&pod.namespace(), address(client), at(host, 8080)).await.unwrap();
            let (accepted, _) = listener.accept().unwrap();
            accepted.set_nonblocking(true).unwrap();
            reset(TcpStream::from_std(accepted).unwrap());
            assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn an_application_on_every_address_sees_its_client_too() {
    on_a_node(async || {
        let pod = Pod::new();
        let _post = pod.post();
        for (host, client) in POD.into_iter().zip(CLIENT) {
            let application = pod.application(at("::", 8080));
            let mut stream = connect_in(&pod.namespace(), address(client), at(host, 8080)).await.unwrap();
            assert_eq!(exchange(&mut stream, b"hello").await, b"hello", "{client}");
            let seen = application.join().unwrap();
            assert_eq!(
                (seen.ip().to_canonical(), seen.port()),
                (address(client).ip(), address(client).port())
            );
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_client_whose_port_is_taken_keeps_its_address() {
    on_a_node(async || {
        let pod = Pod::new();
        let _post = pod.post();
        for (host, client) in POD.into_iter().zip(CLIENT) {
            let (client, target, other) = (address(client), at(host, 8080), at(host, 8081));
            let inside = pod.namespace();
            let _first_listener = inside.enter(|| TcpListener::bind(target).unwrap()).unwrap();
            let _other_listener = inside.enter(|| TcpListener::bind(other).unwrap()).unwrap();
            let first = connect_in(&inside, client, target).await.unwrap();
            assert_eq!(first.local_addr().unwrap(), client);
            let elsewhere = connect_in(&inside, client, other).await.unwrap();
            assert_eq!(elsewhere.local_addr().unwrap(), client, "one port speaks to two");
            let second = connect_in(&inside, client, target).await.unwrap();
            assert_eq!(second.local_addr().unwrap().ip(), client.ip());
            assert_ne!(second.local_addr().unwrap().port(), client.port());
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn a_port_that_the_workload_holds_at_the_clients_address_is_no_obstacle() {
    on_a_node(async || {
        let pod = Pod::new();
        let _post = pod.post();
        for (host, client) in POD.into_iter().zip(CLIENT) {
            let inside = pod.namespace();
            let everywhere = if address(client).is_ipv4() { "0.0.0.0" } else { "::" };
            // The port that the client happens to have, on all addresses: the kernel takes it for taken.
            let held = inside.enter(|| TcpListener::bind(at(everywhere, address(client).port()))).unwrap();
            let application = pod.application(at(host, 8080));
            let mut stream = connect_in(&inside, address(client), at(host, 8080)).await.unwrap();
            assert_eq!(exchange(&mut stream, b"hello").await, b"hello");
            assert_eq!(application.join().unwrap().ip(), address(client).ip());
            drop(held);
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn each_way_of_not_connecting_has_its_name() {
    on_a_node(async || {
        let pod = Pod::new();
        let _post = pod.post();
        let inside = pod.namespace();
        for (host, client) in POD.into_iter().zip(CLIENT) {
            let refused = connect_in(&inside, address(client), at(host, 9)).await;
            assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
        }
        for nobody in ["192.0.2.1:9", "[2001:db8:2::1]:9"] {
            let refused = connect_out(&inside, address(nobody)).await;
            assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
        }
        let mixed = connect_in(&inside, address(CLIENT[0]), at(POD[1], 9)).await;
        assert!(matches!(mixed, Err(ConnectError::Families { .. })), "{mixed:?}");
        ip(&format!("-n {} route del default", pod.name));
        let unreachable = connect_out(&inside, address("203.0.113.9:9")).await;
        assert!(matches!(unreachable, Err(ConnectError::Unreachable(_))), "{unreachable:?}");
        ip(&format!("-n {} route add prohibit 203.0.113.9", pod.name));
        let prohibited = connect_out(&inside, address("203.0.113.9:9")).await;
        assert!(matches!(prohibited, Err(ConnectError::Unreachable(_))), "{prohibited:?}");
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn what_leaves_a_pod_has_the_pods_address() {
    on_a_node(async || {
        let pod = Pod::new();
        for (node, host) in ["192.0.2.1", "2001:db8:2::1"].into_iter().zip(POD) {
            let outside = TcpListener::bind(at(node, TUNNEL_PORT)).unwrap();
            let stream = connect_out(&pod.namespace(), at(node, TUNNEL_PORT)).await.unwrap();
            assert!(stream.nodelay().unwrap());
            let (_accepted, peer) = outside.accept().unwrap();
            assert_eq!(peer.ip(), at(host, 0).ip());
        }
    });
}

#[test]
#[ignore = "makes network namespaces: needs root and ip(8)"]
fn tunnels_arrive_and_what_nobody_intercepted_has_no_origin() {
    on_a_node(async || {
        let pod = Pod::new();
        let post = pod.post();
        for listener in post.listeners() {
            let client = match listener.role() {
                Role::Tunnel => TcpStream::connect((listener.address(), TUNNEL_PORT)).await.unwrap(),
                Role::Intercept => {
                    let own = at(&listener.address().to_string(), INTERCEPT_PORT);
                    connect_out(&pod.namespace(), own).await.unwrap()
                }
            };
            let (stream, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            assert!(stream.nodelay().unwrap());
            assert_eq!(origin(&stream).unwrap(), None);
        }
    });
}

#[tokio::test]
async fn a_reset_is_one() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    reset(listener.accept().await.unwrap().0);
    let error = client.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
