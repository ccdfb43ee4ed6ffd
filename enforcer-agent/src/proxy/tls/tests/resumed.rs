//! Sessions that go on, and those that must not.

use std::sync::atomic::Ordering;

use enforcer_core::identity::bundle::{Revocations, Trust};
use rustls::AlertDescription;

use super::*;
use crate::door::identity::Fault;

#[tokio::test]
async fn the_second_connection_resumes_and_knows_the_peer() {
    let pair = Pair::new(NATIVE_ONLY);
    let (client, server) = pair.met().await;
    assert!(!client.facts().resumed && !server.facts().resumed);
    let verified = pair.node.verified.load(Ordering::Relaxed);
    for _ in 0..3 {
        let (client, server) = pair.met().await;
        assert!(client.facts().resumed && server.facts().resumed);
        assert_eq!(client.facts().peer.id, *pair.server.id());
        assert_eq!(client.facts().peer_serial, pair.server.serial());
        assert_eq!(server.facts().peer.id, *pair.client.id());
        assert_eq!(server.facts().peer_serial, pair.client.serial());
        assert_eq!(server.facts().until, pair.client.not_after().min(pair.server.not_after()));
    }
    // Both chains once, with the first handshake.
    assert_eq!((verified, pair.node.verified.load(Ordering::Relaxed)), (2, 2));
}

#[tokio::test]
async fn no_session_outlives_a_revocation() {
    let pair = Pair::new(NATIVE_ONLY);
    pair.met().await;
    let before = Trust::clone(&pair.node.trust.borrow());
    let revoked = Revocations { spiffe_ids: [pair.client.id().clone()].into(), ..Revocations::default() };
    pair.node.trust.send_replace(Arc::new(Trust { revoked, ..before }));
    let (client, server) = pair.meet().await;
    assert!(matches!(client, Err(TlsError::Alert(AlertDescription::CertificateRevoked))), "{client:?}");
    assert!(
        matches!(&server, Err(TlsError::Unverified(error)) if error.fault == Fault::Revoked),
        "{server:?}"
    );
}

#[tokio::test]
async fn no_session_outlives_a_certificate() {
    let pair = Pair::new(NATIVE_ONLY);
    pair.met().await;
    pair.node.later.store(7_200, Ordering::Relaxed);
    let (client, server) = pair.meet().await;
    assert!(
        matches!(&client, Err(TlsError::Unverified(error)) if error.fault == Fault::Expired),
        "{client:?}"
    );
    assert!(
        matches!(&server, Err(TlsError::Unverified(error)) if error.fault == Fault::Expired),
        "{server:?}"
    );
}

#[tokio::test]
async fn a_rotation_and_another_destination_begin_anew() {
    let pair = Pair::new(NATIVE_ONLY);
    pair.met().await;
    let rotated = pair.node.configs(&pair.red.issue("client", 3_600), NATIVE_ONLY);
    let (client, _) = meet(&rotated, &pair.server, &pair.node.pool).await;
    assert!(!client.unwrap().facts().resumed);
    let other = pair.node.configs(&pair.red.issue("server", 3_600), NATIVE_ONLY);
    let (client, _) = meet(&pair.client, &other, &pair.node.pool).await;
    assert!(!client.unwrap().facts().resumed);
    let (near, far) = wire().await;
    let red = domain(RED);
    let to = Destination { address: ([10, 0, 0, 2], 15008).into(), trust_domain: &red };
    let (client, _) = tokio::join!(
        connect(near, &pair.client, to, &pair.node.pool),
        accept(far, &pair.server, None, &pair.node.pool)
    );
    assert!(!client.unwrap().facts().resumed);
}
