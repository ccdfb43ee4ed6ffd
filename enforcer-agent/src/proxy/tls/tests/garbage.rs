//! Records that no honest peer sends, before the handshake and after it.

use std::io::ErrorKind;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// What a server answers to a client that sends these bytes, and why.
async fn answer(bytes: &[u8]) -> (Vec<u8>, TlsError) {
    let pair = Pair::new(NATIVE_ONLY);
    let (mut near, far) = wire().await;
    near.write_all(bytes).await.unwrap();
    let read = async {
        let mut answer = Vec::new();
        let _ = near.read_to_end(&mut answer).await;
        drop(near);
        answer
    };
    let (server, answer) = tokio::join!(accept(far, &pair.server, None, &pair.node.pool), read);
    (answer, server.unwrap_err())
}

#[tokio::test]
async fn a_server_answers_what_is_no_handshake_with_an_alert() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        &[22, 3, 1, 0xff, 0xff, 1],
        &[23, 3, 3, 0, 1, 0],
        &[0; 64],
    ] {
        let (answer, error) = answer(bytes).await;
        assert_eq!(error.kind(), TlsErrorKind::Protocol, "{error}");
        assert!(matches!(answer.as_slice(), [21, 3, _, 0, 2, 2, _]), "{answer:?} to {bytes:?}");
    }
}

#[tokio::test]
async fn a_record_that_was_not_sealed_for_us_is_bad_record_mac() {
    // The plain header's type, version and length, then the alert that the other end is told.
    let cases: [(&[u8], &str); 5] = [
        (&[23, 3, 3, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "bad_record_mac"),
        (&[23, 3, 3, 0, 3, 0, 0, 0], "bad_record_mac"),
        (&[23, 3, 3, 0xff, 0xff], "record_overflow"),
        (&[20, 3, 3, 0, 1, 1], "unexpected_message"),
        (&[21, 3, 3, 0, 2, 2, 40], "unexpected_message"),
    ];
    for (bytes, alert) in cases {
        let pair = Pair::new(NATIVE_ONLY);
        let (mut client, mut server) = pair.met().await;
        client.socket().try_write(bytes).unwrap();
        let error = std::future::poll_fn(|cx| server.poll_plain(cx)).await.unwrap_err();
        assert_eq!(error.kind(), TlsErrorKind::Protocol, "{error}");
        let told = std::future::poll_fn(|cx| client.poll_plain(cx)).await.unwrap_err();
        assert!(told.to_string().contains(alert), "{told}, not {alert}");
    }
}

#[tokio::test]
async fn a_flood_of_records_without_data_is_ended() {
    let pair = Pair::new(NATIVE_ONLY);
    let (mut client, mut server) = pair.met().await;
    for _ in 0..40 {
        client.queue_data(&[]);
    }
    std::future::poll_fn(|cx| client.poll_flush(cx)).await.unwrap();
    let error = std::future::poll_fn(|cx| server.poll_plain(cx)).await.unwrap_err();
    assert!(error.to_string().contains("without data"), "{error}");
}

#[tokio::test]
async fn a_record_cut_in_two_by_the_end_is_no_data() {
    let pair = Pair::new(NATIVE_ONLY);
    let (client, server) = pair.met().await;
    client.socket().try_write(&[23, 3, 3, 0, 99, 1, 2, 3]).unwrap();
    drop(client);
    let error = server.into_stream().read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}
