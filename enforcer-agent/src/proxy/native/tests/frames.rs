//! Frames that do not belong where they come, and frames cut in every way that do.

use enforcer_core::proxy::native::{FrameHeader, Kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// How a server's relay ends when its client sends these bytes behind OPEN.
async fn ending(frames: &[&[u8]]) -> Ended<&'static str> {
    let (mut near, far) = Pair::new(NATIVE_ONLY).met().await;
    let (handed, mut server) = wire().await;
    let far = tokio::spawn(carry_server(handed, far, LIMITS));
    open(&mut near, &flow());
    for frame in frames {
        near.queue_data(frame);
    }
    std::future::poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
    let _ = server.read_to_end(&mut Vec::new()).await;
    drop(server);
    far.await.unwrap().0
}

#[tokio::test]
async fn frames_out_of_order_end_the_flow() {
    let fin = FrameHeader::FIN.bytes();
    let data = [4, 0, 0, 1, b'a'];
    let order = |ended: &Ended<_>, kind| matches!(ended, Ended::Protocol(FlowError::Order { kind: told, .. }) if *told == kind);
    let cases: [(&[&[u8]], Kind); 5] = [
        (&[&FrameHeader::ACCEPT.bytes()], Kind::Accept),
        (&[&[3, 0, 0, 1, 1]], Kind::Refuse),
        (&[&FrameHeader::OPEN.bytes()], Kind::Open),
        (&[&fin, &data], Kind::Data),
        (&[&fin, &fin], Kind::Fin),
    ];
    for (frames, kind) in cases {
        let ended = ending(frames).await;
        assert!(order(&ended, kind), "{kind:?}: {ended:?}");
    }
    for frame in [[9, 0, 0, 0], [4, 0, 0, 0], [5, 0, 0, 1]] {
        let ended = ending(&[&frame]).await;
        assert!(matches!(ended, Ended::Protocol(FlowError::Frame(_))), "{ended:?}");
    }
    assert!(matches!(ending(&[&data, &FrameHeader::RESET.bytes()]).await, Ended::PeerReset));
}

#[tokio::test]
async fn what_is_no_open_opens_nothing() {
    for bytes in [&[4, 0, 0, 1, 1][..], &[9, 9, 9, 9], &[1, 0, 0, 55], &[1, 0, 0, 54, 2]] {
        let (mut near, mut far) = Pair::new(NATIVE_ONLY).met().await;
        near.queue_data(bytes);
        // Version 2 is known by its first byte, and told when the frame is whole.
        near.queue_data(&[0; 54]);
        std::future::poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
        let next = next_open::<()>(&mut far, Duration::from_secs(1)).await;
        assert!(matches!(next, Err(Ended::Protocol(_))), "{next:?}");
    }
    let (mut near, mut far) = Pair::new(NATIVE_ONLY).met().await;
    near.queue_data(&[1, 0, 0]);
    std::future::poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
    let next = next_open::<()>(&mut far, Duration::from_millis(100)).await;
    assert!(matches!(next, Ok(Next::Idle)), "{next:?}");
}

/// Frames do not depend on records: a kernel that seals them cuts where it likes.
#[tokio::test]
async fn frames_may_be_cut_anywhere() {
    let mut frames = Vec::new();
    frames.extend(FrameHeader::OPEN.bytes());
    frames.extend(flow().bytes());
    for part in [b"a".as_slice(), b"bc", b"def"] {
        frames.extend(FrameHeader::data(part.len()).unwrap().bytes());
        frames.extend(part);
    }
    frames.extend(FrameHeader::FIN.bytes());
    for size in [1, 2, 3, 5, 7, frames.len()] {
        let (mut near, far) = Pair::new(NATIVE_ONLY).met().await;
        let (handed, mut server) = wire().await;
        let far = tokio::spawn(carry_server(handed, far, LIMITS));
        for part in frames.chunks(size) {
            near.queue_data(part);
        }
        std::future::poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"abcdef");
        server.write_all(b"x").await.unwrap();
        drop(server);
        assert!(matches!(far.await.unwrap().0, Ended::Clean));
    }
}
