//! Many callers, and bad ones: one tenant's bounds are its own.

use enforcer_proto::spiffe::{X509svidRequest, X509svidResponse};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use super::material::Authority;
use super::{Client, PATIENCE, Scene, client};
use crate::identity::serve::ServeLimits;

async fn first(client: &mut Client) -> Result<Streaming<X509svidResponse>, Status> {
    let mut stream = client.fetch_x509svid(X509svidRequest {}).await?.into_inner();
    timeout(PATIENCE, stream.message()).await.expect("an answer")?;
    Ok(stream)
}

fn scene(limits: ServeLimits) -> Scene {
    let scene = Scene::with(limits);
    scene.grant("blue-1", Authority::new("blue.fleet.example").granted("/a"));
    scene
}

#[tokio::test]
async fn ten_thousand_idle_streams_of_one_tenant_leave_the_other_served() {
    const CONNECTIONS: usize = 100;
    const STREAMS: usize = 100;
    let scene = scene(ServeLimits { streams_per_tenant: CONNECTIONS * STREAMS, ..ServeLimits::default() });
    let red = Authority::new("red.fleet.example").granted("/a");
    let mut held = Vec::new();
    let mut client = scene.client("red-0", "red").await;
    for connection in 0..CONNECTIONS {
        let name = format!("red-{connection}");
        scene.grant(&name, red.clone());
        client = scene.client(&name, "red").await;
        for _ in 0..STREAMS {
            held.push(first(&mut client).await.unwrap());
        }
    }
    assert_eq!(scene.wallet.followers(&"red-7".into()), STREAMS);
    assert_eq!(first(&mut client).await.unwrap_err().code(), Code::ResourceExhausted);
    let _served = first(&mut scene.client("blue-1", "blue").await).await.unwrap();
    held.truncate(held.len() - 1);
    super::until("one place is free", || scene.wallet.followers(&"red-99".into()) == STREAMS - 1).await;
    let _again = first(&mut client).await.unwrap();
}

#[tokio::test]
async fn a_workload_has_bounds_within_its_tenants() {
    let scene = scene(ServeLimits { streams_per_workload: 2, ..ServeLimits::default() });
    let red = Authority::new("red.fleet.example").granted("/a");
    scene.grant("red-1", red.clone());
    scene.grant("red-2", red);
    let mut one = scene.client("red-1", "red").await;
    let _held = [first(&mut one).await.unwrap(), first(&mut one).await.unwrap()];
    assert_eq!(first(&mut one).await.unwrap_err().code(), Code::ResourceExhausted);
    let _other = first(&mut scene.client("red-2", "red").await).await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_asks_too_often_is_told_so_and_the_other_is_not() {
    let scene = scene(ServeLimits { requests_burst: 5, requests_per_second: 1, ..ServeLimits::default() });
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    let mut client = scene.client("red-1", "red").await;
    let mut refused = 0;
    for _ in 0..20 {
        match first(&mut client).await {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted);
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    let _served = first(&mut scene.client("blue-1", "blue").await).await.unwrap();
}

#[tokio::test]
async fn who_has_too_many_connections_is_told_so_on_the_next() {
    let scene = scene(ServeLimits { connections_per_workload: 1, ..ServeLimits::default() });
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    let mut client = scene.client("red-1", "red").await;
    let _held = first(&mut client).await.unwrap();
    let mut surplus = scene.client("red-1", "red").await;
    assert_eq!(first(&mut surplus).await.unwrap_err().code(), Code::ResourceExhausted);
    let _served = first(&mut scene.client("blue-1", "blue").await).await.unwrap();
}

#[tokio::test]
async fn strangers_have_little_room_and_take_none_from_workloads() {
    let scene = scene(ServeLimits { connections_refused: 2, ..ServeLimits::default() });
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stranger = client(scene.come(None).await);
        assert_eq!(first(&mut stranger).await.unwrap_err().code(), Code::PermissionDenied);
        held.push(stranger);
    }
    let before = scene.attest.come(None);
    let dropped = UnixStream::connect(&scene.socket).await.unwrap();
    scene.attest.received(before).await;
    timeout(PATIENCE, dropped.readable()).await.expect("it is closed").unwrap();
    assert_eq!(dropped.try_read(&mut [0; 16]).unwrap_or(0), 0);
    let _served = first(&mut scene.client("blue-1", "blue").await).await.unwrap();
}

/// Whoever does not read is sent what there was room for, and then the newest; the others do not wait for it.
#[tokio::test]
async fn a_caller_that_does_not_read_delays_nobody_and_is_kept_little_for() {
    const CHANGES: usize = 1_000;
    let scene = scene(ServeLimits::default());
    let red = Authority::new("red.fleet.example");
    let all = [red.granted("/a"), red.granted("/b")];
    scene.grant("red-1", all[0].clone());
    let mut lazy = scene.client("red-1", "red").await;
    let mut unread = lazy.fetch_x509svid(X509svidRequest {}).await.unwrap().into_inner();
    let mut eager = first(&mut scene.client("red-1", "red").await).await.unwrap();
    for change in 0..CHANGES {
        scene.grant("red-1", all[(change + 1) % 2].clone());
        timeout(PATIENCE, eager.message()).await.expect("no delay").unwrap();
    }
    scene.grant("red-1", red.granted("/last"));
    let mut read = 0;
    loop {
        let message = timeout(PATIENCE, unread.message()).await.expect("the newest comes").unwrap().unwrap();
        read += 1;
        if message.svids[0].spiffe_id.ends_with("/last") {
            break;
        }
    }
    assert!(read < CHANGES, "{read} of {CHANGES} changes were kept for it");
}
