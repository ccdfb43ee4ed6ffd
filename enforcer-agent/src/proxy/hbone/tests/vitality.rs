//! How connections begin, live and end. Time is paused: nothing here waits for a real socket.

use super::raw::*;
use super::*;

#[tokio::test]
async fn a_ping_is_answered_with_its_payload() {
    let (io, _server) = ServerSetup::default().serve();
    let mut raw = Raw::client(io).await;
    raw.send(&frame(PING, 0, 0, b"payload!")).await;
    let pong = raw.next_of(PING).await.unwrap();
    assert_eq!((pong.flags, pong.payload.as_slice()), (ACK, &b"payload!"[..]));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_says_nothing_is_waited_for() {
    let (_io, server) = ServerSetup::default().serve();
    assert_eq!(server.closed.await.unwrap(), Closed::Silent);
    let start = Instant::now();
    let (io, server) = ServerSetup::default().serve();
    let _raw = Raw::client(io).await;
    assert_eq!(server.closed.await.unwrap(), Closed::Silent);
    assert!(start.elapsed() >= LIMITS.first_request && start.elapsed() < 2 * LIMITS.first_request);
}

/// A stream that waits for its answer keeps the connection from being idle.
async fn waiting(io: DuplexStream) -> Raw {
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    raw
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_dead() {
    let (io, server) = ServerSetup { permissions: 0, ..ServerSetup::default() }.serve();
    let start = Instant::now();
    let mut raw = waiting(io).await;
    tokio::spawn(async move { while raw.forget().await {} });
    assert_eq!(server.closed.await.unwrap(), Closed::Silent);
    let took = start.elapsed().as_secs();
    assert!((30..=40).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_lives() {
    let (io, server) = ServerSetup { permissions: 0, ..ServerSetup::default() }.serve();
    let start = Instant::now();
    let mut raw = waiting(io).await;
    let mut asked = 0;
    while asked < 10 {
        let Some(ping) = raw.next_within(Duration::from_secs(60), PING).await else { panic!("ended") };
        assert_eq!(ping.flags, 0);
        raw.send(&frame(PING, ACK, 0, &ping.payload)).await;
        asked += 1;
    }
    assert!(start.elapsed() >= Duration::from_secs(100));
    assert!(!server.closed.is_finished());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_gracefully() {
    let (io, server) = ServerSetup::default().serve();
    let start = Instant::now();
    let (sender, driver) = client(io).await;
    let mut sender_one = sender.clone().ready().await.unwrap();
    let (response, _send) = sender_one.send_request(connect("10.0.0.1:401"), false).unwrap();
    assert_eq!(response.await.unwrap().status(), 401);
    drop(_send);
    assert_eq!(server.closed.await.unwrap(), Closed::ByUs);
    assert!(start.elapsed() >= LIMITS.idle);
    drop((sender, sender_one));
    driver.await.unwrap().unwrap();
}

/// Both GOAWAYs of a graceful end, the peer answering the PING between them.
async fn goodbyes(raw: &mut Raw) -> (u32, u32) {
    let first = raw.next_of(GOAWAY).await.unwrap();
    assert_eq!(first.code(), NO_ERROR);
    let ping = raw.next_of(PING).await.unwrap();
    raw.send(&frame(PING, ACK, 0, &ping.payload)).await;
    let second = raw.next_of(GOAWAY).await.unwrap();
    assert_eq!(second.code(), NO_ERROR);
    let last = |frame: &Frame| u32::from_be_bytes(frame.payload[..4].try_into().unwrap());
    (last(&first), last(&second))
}

#[tokio::test]
async fn drained_it_says_so_and_carries_what_is_open_to_the_end() {
    let (target, backend) = listener().await;
    let (io, mut server) = ServerSetup::to(backend).serve();
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    raw.next_of(HEADERS).await.unwrap();
    let (local, _) = soon(target.accept()).await.unwrap();
    server.drain();
    assert_eq!(goodbyes(&mut raw).await, (0x7fff_ffff, 1));
    raw.send(&call(3)).await;
    raw.send(&frame(DATA, END_STREAM, 1, b"last words")).await;
    let (mut read, mut write) = local.into_split();
    let mut text = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut read, &mut text).await.unwrap();
    assert_eq!(text, "last words");
    tokio::io::AsyncWriteExt::shutdown(&mut write).await.unwrap();
    let end = raw.next_of(DATA).await.unwrap();
    assert_eq!((end.stream, end.flags), (1, END_STREAM));
    let (ended, _) = soon(server.ended.recv()).await.unwrap();
    assert!(matches!(ended, Ended::Clean), "{ended:?}");
    assert_eq!(server.script.targets.lock().unwrap().len(), 1);
    assert_eq!(server.closed().await, Closed::ByUs);
}

#[tokio::test]
async fn at_the_end_of_a_certificate_it_says_goodbye() {
    let lifetime = Duration::from_millis(200);
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup { lifetime, ..ServerSetup::to(backend) }.serve();
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    assert_eq!(goodbyes(&mut raw).await, (0x7fff_ffff, 1));
    assert!(!server.closed.is_finished());
    drop((raw, target));
    server.closed().await;
}

#[tokio::test]
async fn how_the_peer_leaves_is_told_apart() {
    let (io, server) = ServerSetup::default().serve();
    let mut raw = Raw::client(io).await;
    raw.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    while raw.forget().await {}
    assert_eq!(server.closed().await, Closed::ByPeer);
    let (io, server) = ServerSetup::default().serve();
    let (sender, driver) = client(io).await;
    drop(sender);
    driver.await.unwrap().unwrap();
    assert_eq!(server.closed().await, Closed::ByPeer);
    let (io, server) = ServerSetup::default().serve();
    let mut raw = Raw::client(io).await;
    raw.send(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2])).await;
    while raw.forget().await {}
    assert_eq!(server.closed().await, Closed::PeerError(h2::Reason::INTERNAL_ERROR));
}
