//! Frames that are wrong: each ends the stream or the connection, with the code that RFC 9113 gives it.

use super::raw::*;
use super::*;

/// What a wrong frame leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The connection is over, with one of these codes.
    Connection(&'static [u32]),
    /// The stream is, with one of these codes; so is the connection, if the peer likes (section 5.4.2).
    Stream(&'static [u32]),
    /// Nothing: it is ignored.
    Nothing,
}

use Outcome::{Connection, Nothing, Stream};

/// The library ends the connection, as it must, and says PROTOCOL_ERROR where the RFC has a code of its own.
const LIBRARY: u32 = PROTOCOL_ERROR;

const fn update(increment: u32) -> [u8; 4] {
    increment.to_be_bytes()
}

fn concat(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

fn probes() -> Vec<(&'static str, Vec<u8>, Outcome)> {
    let opened = call(1);
    let with = |rest: Vec<u8>| concat(&[opened.clone(), rest]);
    let partial = frame(HEADERS, 0, 1, &block(&[(":method", "CONNECT"), (":authority", "10.0.0.1:80")]));
    let setting = |id: u16, value: u32| {
        frame(SETTINGS, 0, 0, &[id.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat())
    };
    let closed = with(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()));
    vec![
        ("5.1: DATA on an idle stream", frame(DATA, 0, 1, b"x"), Connection(&[PROTOCOL_ERROR])),
        ("5.1: RST_STREAM on an idle one", frame(RST_STREAM, 0, 1, &[0; 4]), Connection(&[PROTOCOL_ERROR])),
        (
            "5.1: WINDOW_UPDATE on an idle one",
            frame(WINDOW_UPDATE, 0, 1, &update(9)),
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("5.1.1: an even stream", call(2), Connection(&[PROTOCOL_ERROR])),
        (
            "5.1.1: a stream that goes back",
            concat(&[call(5), call(3)]),
            Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "5.1: DATA after END_STREAM",
            with(concat(&[frame(DATA, END_STREAM, 1, b""), frame(DATA, 0, 1, b"x")])),
            Stream(&[STREAM_CLOSED, LIBRARY]),
        ),
        (
            "5.1: DATA after RST_STREAM",
            concat(&[closed.clone(), frame(DATA, 0, 1, b"x")]),
            Stream(&[STREAM_CLOSED]),
        ),
        (
            "5.1: HEADERS after RST_STREAM",
            concat(&[closed, call(1)]),
            Stream(&[STREAM_CLOSED, PROTOCOL_ERROR]),
        ),
        (
            "5.5: an unknown frame within headers",
            concat(&[partial.clone(), frame(0xbe, 0, 0, b"x")]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("5.5: an unknown frame", frame(0xbe, 0xff, 0, b"x"), Nothing),
        ("6.1: DATA on stream 0", frame(DATA, 0, 0, b"x"), Connection(&[PROTOCOL_ERROR])),
        (
            "6.1: padding longer than DATA",
            with(frame(DATA, PADDED, 1, &[200, 0, 0])),
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.2: HEADERS on stream 0", headers(0, 0, &[(":method", "CONNECT")]), Connection(&[PROTOCOL_ERROR])),
        (
            "6.2: padding longer than HEADERS",
            frame(HEADERS, PADDED | END_HEADERS, 1, &[200, 0x82]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.2: HEADERS within headers", concat(&[partial.clone(), call(3)]), Connection(&[PROTOCOL_ERROR])),
        (
            "6.2: DATA within headers",
            concat(&[partial.clone(), frame(DATA, 0, 1, b"x")]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.2: PING within headers",
            concat(&[partial.clone(), frame(PING, 0, 0, &[0; 8])]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.3: PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), Connection(&[PROTOCOL_ERROR])),
        ("6.3: PRIORITY too short", with(frame(PRIORITY, 0, 1, &[0; 4])), Stream(&[FRAME_SIZE_ERROR])),
        ("6.4: RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), Connection(&[PROTOCOL_ERROR])),
        (
            "6.4: RST_STREAM too short",
            with(frame(RST_STREAM, 0, 1, &[0; 3])),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        ("6.5: SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), Connection(&[PROTOCOL_ERROR])),
        ("6.5: SETTINGS of a broken length", frame(SETTINGS, 0, 0, &[0; 5]), Connection(&[FRAME_SIZE_ERROR])),
        (
            "6.5: an acknowledgement with settings",
            frame(SETTINGS, ACK, 0, &[0; 6]),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        ("6.5: one acknowledgement too many", frame(SETTINGS, ACK, 0, &[]), Connection(&[PROTOCOL_ERROR])),
        ("6.5.2: ENABLE_PUSH of 2", setting(2, 2), Connection(&[PROTOCOL_ERROR])),
        ("6.5.2: a window beyond 2^31", setting(4, 1 << 31), Connection(&[FLOW_CONTROL_ERROR, LIBRARY])),
        ("6.5.2: frames too small", setting(5, 16_383), Connection(&[PROTOCOL_ERROR])),
        ("6.5.2: frames too large", setting(5, 1 << 24), Connection(&[PROTOCOL_ERROR])),
        ("6.5.2: an unknown setting", setting(0xff, 1), Nothing),
        (
            "6.6: PUSH_PROMISE from a client",
            with(frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
            Connection(&[PROTOCOL_ERROR]),
        ),
        ("6.7: PING on a stream", frame(PING, 0, 1, &[0; 8]), Connection(&[PROTOCOL_ERROR])),
        ("6.7: PING of another length", frame(PING, 0, 0, &[0; 7]), Connection(&[FRAME_SIZE_ERROR])),
        ("6.7: an answer that nobody asked for", frame(PING, ACK, 0, &[0; 8]), Nothing),
        ("6.8: GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Connection(&[PROTOCOL_ERROR])),
        (
            "6.9: WINDOW_UPDATE of nothing",
            frame(WINDOW_UPDATE, 0, 0, &update(0)),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9: WINDOW_UPDATE of nothing on a stream",
            with(frame(WINDOW_UPDATE, 0, 1, &update(0))),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9: WINDOW_UPDATE too short",
            frame(WINDOW_UPDATE, 0, 0, &[0; 3]),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "6.9.1: the connection's window beyond 2^31",
            frame(WINDOW_UPDATE, 0, 0, &update((1 << 31) - 1)),
            Connection(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1: a stream's window beyond 2^31",
            with(frame(WINDOW_UPDATE, 0, 1, &update((1 << 31) - 1))),
            Stream(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.10: CONTINUATION without HEADERS",
            frame(CONTINUATION, END_HEADERS, 1, &[0x82]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10: CONTINUATION on stream 0",
            concat(&[partial.clone(), frame(CONTINUATION, END_HEADERS, 0, &[])]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "6.10: CONTINUATION of another stream",
            concat(&[partial, frame(CONTINUATION, END_HEADERS, 3, &[])]),
            Connection(&[PROTOCOL_ERROR]),
        ),
        (
            "4.2: a frame beyond the limit",
            with(concat(&[frame(DATA, 0, 1, &vec![0; 1024 * 1024 + 1])])),
            Connection(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.3: headers that cannot be decoded",
            frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Connection(&[COMPRESSION_ERROR, LIBRARY]),
        ),
        (
            "RFC 7541, 6.1: an index that is not there",
            frame(HEADERS, END_HEADERS, 1, &[0xbf + 0x3f]),
            Connection(&[COMPRESSION_ERROR, LIBRARY]),
        ),
        (
            "8.2: a header in upper case",
            headers(1, 0, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80"), ("X-A", "b")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.2.2: a header of one connection",
            headers(1, 0, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80"), ("connection", "close")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3: a pseudo-header behind others",
            headers(1, 0, &[("a", "b"), (":method", "CONNECT"), (":authority", "10.0.0.1:80")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3: a pseudo-header twice",
            headers(1, 0, &[(":method", "CONNECT"), (":method", "CONNECT"), (":authority", "10.0.0.1:80")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.3: an unknown pseudo-header",
            headers(1, 0, &[(":method", "CONNECT"), (":authority", "10.0.0.1:80"), (":x", "y")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.5: CONNECT with a scheme",
            headers(1, 0, &[(":method", "CONNECT"), (":scheme", "http"), (":authority", "10.0.0.1:80")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        (
            "8.5: CONNECT with a path",
            headers(1, 0, &[(":method", "CONNECT"), (":path", "/"), (":authority", "10.0.0.1:80")]),
            Stream(&[PROTOCOL_ERROR]),
        ),
        ("8.3: no method", headers(1, 0, &[(":authority", "10.0.0.1:80")]), Stream(&[PROTOCOL_ERROR])),
    ]
}

#[tokio::test]
async fn each_ends_as_the_rfc_says_and_the_next_connection_works() {
    let mut wrong = Vec::new();
    for (name, bytes, expected) in probes() {
        let (_target, backend) = listener().await;
        let (io, server) = ServerSetup::to(backend).serve();
        let mut raw = Raw::client(io).await;
        raw.try_send(&bytes).await;
        // Whoever still lives answers this.
        raw.try_send(&frame(PING, 0, 0, b"probe...")).await;
        let mut seen = Vec::new();
        let mut lives = false;
        while let Some(frame) = raw.next().await {
            match frame.kind {
                GOAWAY | RST_STREAM => seen.push((frame.kind, frame.code())),
                PING if frame.flags & ACK != 0 && frame.payload == b"probe..." => {
                    lives = true;
                    // Resets of streams may still come.
                    drop(
                        tokio::time::timeout(Duration::from_millis(20), async {
                            while let Some(frame) = raw.next().await {
                                if matches!(frame.kind, GOAWAY | RST_STREAM) {
                                    seen.push((frame.kind, frame.code()));
                                }
                            }
                        })
                        .await,
                    );
                    break;
                }
                _ => {}
            }
        }
        let has = |kind, codes: &[u32]| seen.iter().any(|(k, code)| *k == kind && codes.contains(code));
        let is_right = match expected {
            Connection(codes) => has(GOAWAY, codes) && !lives,
            Stream(codes) => (has(RST_STREAM, codes) && lives) || (has(GOAWAY, codes) && !lives),
            Nothing => seen.is_empty() && lives,
        };
        if !is_right {
            wrong.push(format!("{name}: expected {expected:?}, saw {seen:?}, lives: {lives}"));
        }
        drop(raw);
        let closed = server.closed().await;
        let has_reason = match expected {
            Connection(_) => matches!(closed, Closed::Protocol(_)),
            Stream(_) | Nothing => true,
        };
        if !has_reason {
            wrong.push(format!("{name}: {closed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_wrong_preface_is_the_end() {
    for preface in [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], &[0; 24], &PREFACE[..23]] {
        let (io, server) = ServerSetup::default().serve();
        let mut raw = Raw(io);
        raw.try_send(preface).await;
        raw.try_send(&[b'x'; 9]).await;
        assert_eq!(server.closed().await, Closed::Protocol(h2::Reason::PROTOCOL_ERROR), "{preface:?}");
    }
    let (io, server) = ServerSetup::default().serve();
    drop(io);
    assert!(matches!(server.closed().await, Closed::Lost(_)));
}

#[tokio::test]
async fn the_first_frame_is_settings() {
    let (io, server) = ServerSetup::default().serve();
    let mut raw = Raw(io);
    raw.send(&concat(&[PREFACE.to_vec(), frame(PING, 0, 0, &[0; 8])])).await;
    let verdict = raw.verdict().await;
    drop(raw);
    assert_eq!(
        (verdict, server.closed().await),
        (Some((GOAWAY, PROTOCOL_ERROR)), Closed::Protocol(h2::Reason::PROTOCOL_ERROR))
    );
}

#[tokio::test]
async fn random_bytes_do_not_panic() {
    let noise = pattern(400_000);
    for start in 0..64 {
        let (io, server) = ServerSetup::default().serve();
        let mut raw = Raw::client(io).await;
        raw.try_send(&noise[start * 1000..start * 1000 + 4096]).await;
        // Frames with a plausible head and noise within.
        for (place, kind) in (0..=10).enumerate() {
            let payload = &noise[place * 100 + start..][..place * 7];
            raw.try_send(&frame(kind, noise[start + place], u32::from(kind) % 3, payload)).await;
        }
        drop(raw);
        server.closed().await;
    }
}
