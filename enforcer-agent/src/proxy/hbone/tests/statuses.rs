//! What is asked, and what is answered: the list of `hbone.md`, and the headers.

use enforcer_core::proxy::hbone::{BAGGAGE, FORWARDED, TRACEPARENT};
use http::{Method, Request, StatusCode};
use tokio::io::AsyncWriteExt as _;

use super::raw::*;
use super::*;

async fn status(sender: &SendRequest<Bytes>, request: Request<()>) -> StatusCode {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, _send) = sender.send_request(request, false).unwrap();
    soon(response).await.unwrap().status()
}

#[tokio::test]
async fn every_refusal_has_its_status() {
    let (_listener, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let (sender, _driver) = client(io).await;
    for (authority, expected) in [
        ("10.0.0.1", 400),
        ("10.0.0.1:0", 400),
        ("10.0.0:80", 400),
        ("10.0.0.1:400", 400),
        ("10.0.0.1:401", 401),
        ("no.such.host:503", 503),
        ("10.0.0.1:5", 503),
        ("10.0.0.1:80", 200),
        ("[fd00::1]:80", 200),
        ("web.shop.svc:80", 200),
    ] {
        assert_eq!(status(&sender, connect(authority)).await.as_u16(), expected, "{authority}");
    }
    for method in [Method::GET, Method::POST, Method::OPTIONS] {
        let request = Request::builder().method(method).uri("http://10.0.0.1:80/").body(()).unwrap();
        assert_eq!(status(&sender, request).await, 400);
    }
    let mut ended = sender.clone().ready().await.unwrap();
    let (response, _) = ended.send_request(connect("10.0.0.1:80"), true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 400);
    use Malformed as M;
    let malformed = [M::Authority, M::Authority, M::Authority, M::Method, M::Method, M::Method, M::Ended];
    assert_eq!(*server.script.malformed.lock().unwrap(), malformed);
}

#[tokio::test]
async fn nobody_listens_and_nobody_has_room() {
    let (gone, backend) = listener().await;
    drop(gone);
    let (io, _server) = ServerSetup::to(backend).serve();
    let (sender, _driver) = client(io).await;
    assert_eq!(status(&sender, connect("10.0.0.1:80")).await, 503);

    let narrow = 4 * 64 * 1024 + 1024 * 1024;
    let (io, server) = ServerSetup { purse: narrow, ..ServerSetup::to(backend) }.serve();
    let (sender, _driver) = client(io).await;
    assert_eq!(status(&sender, connect("10.0.0.1:80")).await, 503);
    assert_eq!(*server.script.malformed.lock().unwrap(), [Malformed::Busy]);

    let (_io, server) = ServerSetup { purse: narrow - 1, ..ServerSetup::to(backend) }.serve();
    assert_eq!(server.closed().await, Closed::Busy);
}

#[tokio::test]
async fn without_an_authority_it_is_400_and_with_a_protocol_a_reset() {
    let (io, server) = ServerSetup::default().serve();
    let mut raw = Raw::client(io).await;
    raw.send(&headers(1, 0, &[(":method", "CONNECT")])).await;
    let answer = raw.next_of(HEADERS).await.unwrap();
    // RFC 7541, appendix A: entry 12 is `:status: 400`.
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x80 | 12));
    assert_eq!(answer.flags & END_STREAM, END_STREAM);
    let extended = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "10.0.0.1:80"),
    ];
    raw.send(&headers(3, 0, &extended)).await;
    loop {
        let reset = raw.next_of(RST_STREAM).await.unwrap();
        if reset.stream == 3 {
            assert_eq!(reset.code(), PROTOCOL_ERROR);
            break;
        }
        // The refused request of stream 1 may be told that its body is not wanted.
        assert_eq!((reset.stream, reset.code()), (1, NO_ERROR));
    }
    assert!(server.script.targets.lock().unwrap().is_empty());
}

#[tokio::test]
async fn two_hundred_means_that_the_target_has_accepted() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup { permissions: 0, ..ServerSetup::to(backend) }.serve();
    let (sender, _driver) = client(io).await;
    let mut sender = sender.ready().await.unwrap();
    let (response, _send) = sender.send_request(connect("10.0.0.1:80"), false).unwrap();
    let mut response = std::pin::pin!(response);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut response).await;
    assert!(early.is_err(), "{early:?}");
    server.script.may_accept.add_permits(1);
    let (answer, connected) = tokio::join!(soon(response), soon(target.accept()));
    connected.unwrap();
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()[BAGGAGE], "k8s.namespace.name=there");
}

#[tokio::test]
async fn hints_are_read_and_nonsense_in_them_is_not_held_against_anybody() {
    let (_target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let (sender, _driver) = client(io).await;
    let mut full = connect("10.0.0.1:80");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    for (name, value) in [
        (FORWARDED, r#"for="10.0.0.9:1234";host=web.shop"#),
        (BAGGAGE, "k8s.namespace.name=here"),
        (TRACEPARENT, trace),
        ("x-forwarded-network", "other"),
    ] {
        full.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(status(&sender, full.clone()).await, 200);
    let mut nonsense = connect("10.0.0.1:80");
    for name in [FORWARDED, BAGGAGE, TRACEPARENT] {
        nonsense.headers_mut().insert(name, http::HeaderValue::from_bytes(b"\xff,;\"").unwrap());
    }
    assert_eq!(status(&sender, nonsense).await, 200);
    let mut twice = full;
    twice.headers_mut().append(FORWARDED, r#"for="10.0.0.8:1""#.parse().unwrap());
    assert_eq!(status(&sender, twice).await, 200);
    let targets = server.script.targets.lock().unwrap();
    let [first, second, third] = targets.as_slice() else { panic!("{targets:?}") };
    assert_eq!(first.authority, authority("10.0.0.1:80"));
    assert_eq!(first.source, Some("10.0.0.9:1234".parse().unwrap()));
    assert_eq!(first.service.as_ref().map(|name| name.as_str()), Some("web.shop"));
    assert_eq!(first.trace.map(|trace| trace.to_string()).as_deref(), Some(trace));
    assert_eq!(first.baggage.to_string(), "k8s.namespace.name=here");
    assert_eq!((second.source, second.trace, second.baggage.is_empty()), (None, None, true));
    assert_eq!(third.source, None);
}

#[tokio::test]
async fn a_caller_that_gives_up_is_not_connected_for() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup { permissions: 0, ..ServerSetup::to(backend) }.serve();
    let (sender, _driver) = client(io).await;
    let mut sender = sender.ready().await.unwrap();
    let (response, send) = sender.send_request(connect("10.0.0.1:80"), false).unwrap();
    soon(async {
        while server.script.targets.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop((response, send));
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.script.may_accept.add_permits(1);
    let came = tokio::time::timeout(Duration::from_millis(100), target.accept()).await;
    assert!(came.is_err(), "{came:?}");
}

#[tokio::test]
async fn the_greeting_says_what_is_taken() {
    let (io, _server) = ServerSetup::default().serve();
    let mut raw = Raw::client(io).await;
    let settings = raw.next_of(SETTINGS).await.unwrap();
    let said: Vec<(u16, u32)> = settings
        .payload
        .chunks_exact(6)
        .map(|entry| {
            let id = u16::from_be_bytes(entry[..2].try_into().unwrap());
            (id, u32::from_be_bytes(entry[2..].try_into().unwrap()))
        })
        .collect();
    // RFC 9113, section 6.5.2: 3 streams, 4 window, 5 frame, 6 headers; RFC 8441: 8 extended CONNECT.
    for expected in [(3, 200), (4, 1024 * 1024), (5, 1024 * 1024), (6, 64 * 1024)] {
        assert!(said.contains(&expected), "{said:?}");
    }
    assert!(!said.iter().any(|(id, _)| *id == 8));
    let update = raw.next_of(WINDOW_UPDATE).await.unwrap();
    assert_eq!(update.stream, 0);
    assert_eq!(update.payload, (4 * 1024 * 1024_u32 - 65_535).to_be_bytes());
    raw.0.shutdown().await.unwrap();
}
