//! Peers that send too much of what costs them nothing. Their connection ends; the others do not notice.

use super::super::Flood;
use super::raw::*;
use super::*;

fn flood_of(name: &str) -> (Vec<u8>, usize, Flood) {
    let idle_update = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes());
    match name {
        "ping" => (frame(PING, 0, 0, &[7; 8]), 10_000, Flood::Ping),
        "pong" => (frame(PING, ACK, 0, &[7; 8]), 10_000, Flood::Ping),
        "settings" => (frame(SETTINGS, 0, 0, &[]), 10_000, Flood::Settings),
        "priority" => (frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9]), 10_000, Flood::Priority),
        "window updates" => (idle_update, 200_000, Flood::WindowUpdate),
        "unknown" => (frame(0xee, 0, 0, &[]), 10_000, Flood::Other),
        "goaway" => (frame(GOAWAY, 0, 0, &[0; 8]), 10_000, Flood::Other),
        other => panic!("{other}"),
    }
}

/// Sends until the other end takes no more, and reads the last words.
async fn pour(io: DuplexStream, bytes: impl Fn(u32) -> Vec<u8>, count: u32) -> Option<(u8, u32)> {
    pour_on(Raw::client(io).await, bytes, count).await
}

pub(super) async fn pour_on(raw: Raw, bytes: impl Fn(u32) -> Vec<u8>, count: u32) -> Option<(u8, u32)> {
    let (read, mut write) = tokio::io::split(raw.0);
    let pouring = async move {
        use tokio::io::AsyncWriteExt as _;
        for round in 0..count {
            if write.write_all(&bytes(round)).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut reading = Reading(read);
    tokio::select! {
        () = pouring => None,
        code = reading.verdict() => code,
    }
}

struct Reading(tokio::io::ReadHalf<DuplexStream>);

impl Reading {
    async fn verdict(&mut self) -> Option<(u8, u32)> {
        use tokio::io::AsyncReadExt as _;
        loop {
            let mut head = [0; 9];
            soon(self.0.read_exact(&mut head)).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            soon(self.0.read_exact(&mut payload)).await.ok()?;
            match head[3] {
                GOAWAY => return Some((GOAWAY, u32::from_be_bytes(payload[4..8].try_into().unwrap()))),
                RST_STREAM if payload != REFUSED_STREAM.to_be_bytes() => {
                    return Some((RST_STREAM, u32::from_be_bytes(payload.try_into().unwrap())));
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn each_is_told_to_calm_down() {
    for name in ["ping", "pong", "settings", "priority", "window updates", "unknown", "goaway"] {
        let (bytes, count, flood) = flood_of(name);
        let (io, server) = ServerSetup::default().serve();
        let last = pour(io, |_| bytes.clone(), u32::try_from(count).unwrap()).await;
        assert_eq!(last, Some((GOAWAY, ENHANCE_YOUR_CALM)), "{name}");
        assert_eq!(server.closed().await, Closed::Flood(flood), "{name}");
    }
}

#[tokio::test]
async fn rapid_reset_opens_few_connections_to_the_target() {
    let (target, backend) = listener().await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&accepted);
    let counter = tokio::spawn(async move {
        while target.accept().await.is_ok() {
            counting.fetch_add(1, Ordering::Relaxed);
        }
    });
    let (io, server) = ServerSetup::to(backend).serve();
    let pair = |round: u32| {
        let stream = 2 * round + 1;
        [call(stream), frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())].concat()
    };
    let last = pour(io, pair, 100_000).await;
    assert_eq!(last, Some((GOAWAY, ENHANCE_YOUR_CALM)));
    let closed = server.closed().await;
    assert!(matches!(closed, Closed::Flood(Flood::Reset | Flood::Frames)), "{closed:?}");
    counter.abort();
    let accepted = accepted.load(Ordering::Relaxed);
    assert!(accepted < 1300, "{accepted}");
}

#[tokio::test]
async fn data_without_data_is_told_to_calm_down() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let empty = |round| if round == 0 { call(1) } else { frame(DATA, 0, 1, &[]) };
    let last = pour(io, empty, 10_000).await;
    assert_eq!(last, Some((GOAWAY, ENHANCE_YOUR_CALM)));
    assert_eq!(server.closed().await, Closed::Flood(Flood::Frames));
    drop(target);
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let (io, server) = ServerSetup::default().serve();
    let block = block(&[(":method", "CONNECT"), (":authority", "10.0.0.1:80"), ("x", &"y".repeat(16_000))]);
    let endless = |round| {
        let (kind, piece) = if round == 0 { (HEADERS, &block[..]) } else { (CONTINUATION, &block[40..]) };
        frame(kind, 0, 1, piece)
    };
    let (_, code) = pour(io, endless, 10_000).await.unwrap();
    assert!([ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR].contains(&code), "{code}");
    let closed = server.closed().await;
    assert!(matches!(closed, Closed::Flood(Flood::Frames) | Closed::Protocol(_)), "{closed:?}");
}

#[tokio::test]
async fn many_small_continuations_are_refused() {
    let (io, server) = ServerSetup::default().serve();
    let nothing = |round| frame(if round == 0 { HEADERS } else { CONTINUATION }, 0, 1, &[]);
    assert_eq!(pour(io, nothing, 10_000).await, Some((GOAWAY, ENHANCE_YOUR_CALM)));
    assert_eq!(server.closed().await, Closed::Flood(Flood::Frames));
}

#[tokio::test]
async fn oversized_headers_are_refused_and_the_connection_goes_on() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let mut raw = Raw::client(io).await;
    let fields = [(":method", "CONNECT"), (":authority", "10.0.0.1:80"), ("x", &"y".repeat(70_000))];
    raw.send(&headers(1, 0, &fields)).await;
    raw.send(&call(3)).await;
    let mut refused = false;
    loop {
        let frame = raw.next().await.unwrap();
        match (frame.kind, frame.stream) {
            // 431, or a reset.
            (HEADERS | RST_STREAM, 1) => refused = true,
            (HEADERS, 3) => break,
            (GOAWAY, _) => panic!("{frame:?}"),
            _ => {}
        }
    }
    assert!(refused);
    assert_eq!(server.script.targets.lock().unwrap().len(), 1);
    drop(target);
}

#[tokio::test]
async fn what_real_peers_send_is_no_flood() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    raw.next_of(HEADERS).await.unwrap();
    for _ in 0..150 {
        raw.send(&frame(PING, 0, 0, &[1; 8])).await;
        raw.send(&frame(WINDOW_UPDATE, 0, 1, &100_u32.to_be_bytes())).await;
        raw.send(&frame(DATA, 0, 1, b"one")).await;
        raw.next_of(PING).await.unwrap();
    }
    assert!(!server.closed.is_finished());
    drop(target);
}

/// A server that floods us: the connection ends, and the call on it with it.
#[tokio::test]
async fn a_server_that_floods_loses_its_connection() {
    let (near, far) = duplex(256 * 1024);
    let flooding = async {
        let mut raw = Raw::server(far, &[]).await;
        while raw.try_send(&frame(PING, 0, 0, &[0; 8])).await {
            tokio::task::yield_now().await;
        }
    };
    let (outcome, ()) = tokio::join!(super::pool::carried(near), soon(flooding));
    assert!(outcome.is_err());
}
