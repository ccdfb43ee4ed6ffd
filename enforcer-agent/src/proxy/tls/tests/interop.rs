//! The same wire with rustls' own record layer at the other end.

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, split};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

const BYTES: usize = 3_000_000;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Sends and receives at once, then ends.
async fn exchange(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite) -> Vec<u8> {
    let (mut reading, mut writing) = split(stream);
    let (heard, ()) = tokio::join!(
        async {
            let mut heard = Vec::new();
            reading.read_to_end(&mut heard).await.unwrap();
            heard
        },
        async {
            for part in pattern(BYTES).chunks(70_001) {
                writing.write_all(part).await.unwrap();
            }
            writing.shutdown().await.unwrap();
        }
    );
    heard
}

#[tokio::test]
async fn our_client_speaks_to_a_rustls_server() {
    let pair = Pair::new(HBONE_ONLY);
    let (near, far) = wire().await;
    let acceptor = TlsAcceptor::from(Arc::clone(&pair.server.server));
    let red = domain(RED);
    let to = Destination { address: ([10, 0, 0, 1], 15008).into(), trust_domain: &red };
    let (ours, theirs) = tokio::join!(connect(near, &pair.client, to, &pair.node.pool), acceptor.accept(far));
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    assert_eq!(ours.facts().hop, Hop::Hbone);
    let (heard, echoed) = tokio::join!(exchange(ours.into_stream()), exchange(theirs));
    assert_eq!((heard.len(), echoed.len()), (BYTES, BYTES));
    assert!(heard == pattern(BYTES) && echoed == heard);
}

#[tokio::test]
async fn our_server_speaks_to_a_rustls_client() {
    let pair = Pair::new(HBONE_ONLY);
    for round in 0..2 {
        let (near, far) = wire().await;
        let connector = TlsConnector::from(Arc::clone(&pair.client.client));
        let name = ServerName::try_from("any.example").unwrap();
        let (theirs, ours) =
            tokio::join!(connector.connect(name, near), accept(far, &pair.server, None, &pair.node.pool));
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
        // Our tickets are good for their sessions too.
        assert_eq!(ours.facts().resumed, round == 1);
        let (heard, echoed) = tokio::join!(exchange(ours.into_stream()), exchange(theirs));
        assert!(heard == pattern(BYTES) && echoed == heard);
    }
}

/// rustls asks for new keys in the middle of a transfer.
#[tokio::test]
async fn a_peer_that_exchanges_keys_is_followed() {
    let pair = Pair::new(HBONE_ONLY);
    let (near, far) = wire().await;
    let connector = TlsConnector::from(Arc::clone(&pair.client.client));
    let name = ServerName::try_from("any.example").unwrap();
    let (theirs, ours) =
        tokio::join!(connector.connect(name, near), accept(far, &pair.server, None, &pair.node.pool));
    let (mut ours, mut theirs) = (ours.unwrap().into_stream(), theirs.unwrap());
    for round in 0..10 {
        theirs.get_mut().1.refresh_traffic_keys().unwrap();
        let said = [round; 1000];
        theirs.write_all(&said).await.unwrap();
        theirs.flush().await.unwrap();
        let mut heard = [0; 1000];
        ours.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
        ours.write_all(&heard).await.unwrap();
        ours.flush().await.unwrap();
        theirs.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, said);
    }
}
