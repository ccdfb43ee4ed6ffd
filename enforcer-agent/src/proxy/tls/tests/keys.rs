//! New keys after the handshake, in both directions, and what is done with messages that come beside them.

use rustls::AlertDescription;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

#[tokio::test]
async fn a_worn_key_is_exchanged_and_nobody_notices() {
    let pair = Pair::new(NATIVE_ONLY);
    let (mut client, mut server) = pair.met().await;
    for _ in 0..3 {
        client.wear_keys();
        let (mut near, mut far) = (client.into_stream(), server.into_stream());
        let said = vec![7; 100_000];
        let (heard, ()) = tokio::join!(
            async {
                let mut heard = vec![0; said.len()];
                far.read_exact(&mut heard).await.unwrap();
                far.write_all(&heard).await.unwrap();
                far.flush().await.unwrap();
                heard
            },
            async {
                near.write_all(&said).await.unwrap();
                near.flush().await.unwrap();
                let mut back = vec![0; said.len()];
                near.read_exact(&mut back).await.unwrap();
                assert_eq!(back, said);
            }
        );
        assert_eq!(heard, said);
        (client, server) = (near.into_inner(), far.into_inner());
        std::mem::swap(&mut client, &mut server);
    }
}

#[tokio::test]
async fn close_notify_ends_a_stream_and_a_bare_end_does_not() {
    let pair = Pair::new(NATIVE_ONLY);
    let (client, server) = pair.met().await;
    let (mut near, mut far) = (client.into_stream(), server.into_stream());
    near.write_all(b"last words").await.unwrap();
    near.shutdown().await.unwrap();
    let mut heard = Vec::new();
    far.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, b"last words");

    let (client, server) = pair.met().await;
    let mut far = server.into_stream();
    drop(client);
    let error = far.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn alerts_of_the_peer_are_told_apart() {
    let pair = Pair::new(NATIVE_ONLY);
    let (mut client, mut server) = pair.met().await;
    client.queue_alert(AlertDescription::InternalError);
    std::future::poll_fn(|cx| client.poll_flush(cx)).await.unwrap();
    let error = std::future::poll_fn(|cx| server.poll_plain(cx)).await.unwrap_err();
    assert!(matches!(error, TlsError::Alert(AlertDescription::InternalError)), "{error}");
}
