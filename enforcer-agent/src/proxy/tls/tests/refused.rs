//! Who is refused, with which alert, at both ends.

use enforcer_core::identity::bundle::{Revocations, Trust};
use rustls::AlertDescription;

use super::*;
use crate::door::identity::Fault;

/// What either end says when one shows something that the other does not take.
async fn outcome(client: &Configs, server: &Configs, node: &Node) -> (TlsError, TlsError) {
    let (client, server) = meet(client, server, &node.pool).await;
    (client.unwrap_err(), server.unwrap_err())
}

fn is_alert(error: &TlsError, alert: AlertDescription) -> bool {
    matches!(error, TlsError::Alert(told) if *told == alert)
}

fn is_fault(error: &TlsError, fault: Fault) -> bool {
    matches!(error, TlsError::Unverified(unverified) if unverified.fault == fault)
}

#[tokio::test]
async fn each_wrong_certificate_has_its_alert_at_both_ends() {
    let red = Authority::new(RED);
    let (impostor, stranger) = (Authority::new(RED), Authority::new("red.elsewhere.example"));
    let node = Node::trusting(&[&red]);
    let good = node.configs(&red.issue("good", 600), NATIVE_ONLY);
    let cases = [
        (impostor.issue("a", 600), Fault::UnknownAuthority, AlertDescription::UnknownCA),
        (stranger.issue("a", 600), Fault::UnknownAuthority, AlertDescription::UnknownCA),
        (red.issue_valid("a", (-90, -30)), Fault::Expired, AlertDescription::CertificateExpired),
        (red.issue_valid("a", (600, 900)), Fault::NotYetValid, AlertDescription::CertificateExpired),
    ];
    for (credential, fault, alert) in cases {
        let wrong = node.configs(&credential, NATIVE_ONLY);
        let (client, server) = outcome(&wrong, &good, &node).await;
        assert!(is_fault(&server, fault) && is_alert(&client, alert), "client: {client} / {server}");
        let (client, server) = outcome(&good, &wrong, &node).await;
        assert!(is_fault(&client, fault) && is_alert(&server, alert), "server: {client} / {server}");
    }
}

#[tokio::test]
async fn who_is_revoked_is_told_so() {
    let pair = Pair::new(NATIVE_ONLY);
    pair.met().await;
    let before = Trust::clone(&pair.node.trust.borrow());
    for (revoked, is_client) in [(pair.client.id().clone(), true), (pair.server.id().clone(), false)] {
        let revoked = Revocations { spiffe_ids: [revoked].into(), ..Revocations::default() };
        pair.node.trust.send_replace(Arc::new(Trust { revoked, ..before.clone() }));
        let (client, server) = outcome(&pair.client, &pair.server, &pair.node).await;
        let (refused, refuser) = if is_client { (client, server) } else { (server, client) };
        assert!(is_fault(&refuser, Fault::Revoked), "{refuser}");
        assert!(is_alert(&refused, AlertDescription::CertificateRevoked), "{refused}");
    }
}

#[tokio::test]
async fn another_tenant_than_the_kernel_knows_is_refused_at_both_ends() {
    let (red, blue) = (Authority::new(RED), Authority::new(BLUE));
    let node = Node::trusting(&[&red, &blue]);
    let reds = node.configs(&red.issue("a", 600), NATIVE_ONLY);
    let blues = node.configs(&blue.issue("b", 600), NATIVE_ONLY);
    // `meet` looks for red.
    let (client, server) = outcome(&reds, &blues, &node).await;
    assert!(matches!(client, TlsError::Stranger { .. }), "{client}");
    assert!(is_alert(&server, AlertDescription::AccessDenied), "{server}");

    let (near, far) = wire().await;
    let expected = domain(RED);
    let to = Destination { address: ([10, 0, 0, 1], 15008).into(), trust_domain: &expected };
    let (client, server) =
        tokio::join!(connect(near, &blues, to, &node.pool), accept(far, &reds, Some(&expected), &node.pool));
    assert!(matches!(server, Err(TlsError::Stranger { .. })), "{server:?}");
    let mut client = client.unwrap();
    let told = std::future::poll_fn(|cx| client.poll_plain(cx)).await.unwrap_err();
    assert!(is_alert(&told, AlertDescription::AccessDenied), "{told}");
}

#[tokio::test]
async fn no_protocol_in_common_is_said() {
    let red = Authority::new(RED);
    let node = Node::trusting(&[&red]);
    let native = node.configs(&red.issue("a", 600), NATIVE_ONLY);
    let hbone = node.configs(&red.issue("b", 600), HBONE_ONLY);
    let (client, server) = outcome(&native, &hbone, &node).await;
    assert_eq!((client.kind(), server.kind()), (TlsErrorKind::Alpn, TlsErrorKind::Alpn));
}

#[tokio::test]
async fn both_prefer_the_native_hop_and_take_the_other() {
    let red = Authority::new(RED);
    let node = Node::trusting(&[&red]);
    let both = node.configs(&red.issue("a", 600), BOTH);
    let hbone = node.configs(&red.issue("b", 600), HBONE_ONLY);
    for (client, server, hop) in
        [(&both, &both, Hop::Native), (&both, &hbone, Hop::Hbone), (&hbone, &both, Hop::Hbone)]
    {
        let (client, server) = meet(client, server, &node.pool).await;
        assert_eq!((client.unwrap().facts().hop, server.unwrap().facts().hop), (hop, hop));
    }
}

#[tokio::test]
async fn without_a_budget_no_handshake_begins() {
    struct Empty;
    impl Purse for Empty {
        fn take(&self, _: usize) -> bool {
            false
        }
        fn give(&self, _: usize) {}
    }
    let pair = Pair::new(NATIVE_ONLY);
    let pool = Pool::new(Arc::new(Empty));
    let (client, server) = meet(&pair.client, &pair.server, &pool).await;
    assert!(matches!((client, server), (Err(TlsError::Busy), Err(TlsError::Busy))));
}
