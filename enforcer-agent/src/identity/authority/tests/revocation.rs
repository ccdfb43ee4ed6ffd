//! What is revoked is withdrawn at once, for good, and until it is restored.

use std::time::Duration;

use super::{Fleet, bundle, domain, node_ca, web};
use crate::door::upstream::{Target, Upstream as _, UpstreamError};
use crate::identity::authority::request;

const MINUTE: Duration = Duration::from_secs(60);

fn revoked<T: std::fmt::Debug>(answer: Result<T, UpstreamError>) {
    assert!(matches!(answer, Err(UpstreamError::Revoked(_))), "{answer:?}");
}

#[tokio::test]
async fn a_revoked_tenant_has_an_empty_bundle_and_nothing_is_issued() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let red = Target::Tenant("red".into());
    let before = bundle(&local, "red.fleet.example");
    let mut trust = local.trust();
    trust.mark_unchanged();
    local.revoke(&red).await.unwrap();
    assert!(trust.has_changed().unwrap());
    let empty = bundle(&local, "red.fleet.example");
    // B-4, B-2.
    assert!(empty.x509.is_empty() && empty.jwt.is_empty() && empty.sequence > before.sequence);
    assert!(!bundle(&local, "blue.fleet.example").x509.is_empty());
    revoked(node_ca(&local, "red.fleet.example").await);
    revoked(local.jwt_svid("node-1", &web(), &["a".to_owned()], MINUTE).await);
    assert!(node_ca(&local, "blue.fleet.example").await.is_ok());
    drop(local);
    let local = fleet.open();
    assert!(bundle(&local, "red.fleet.example").x509.is_empty(), "a restart forgot a revocation");
    assert!(local.trust().borrow().revoked.tenants.contains("red"));
    local.restore(&red).await.unwrap();
    let after = bundle(&local, "red.fleet.example");
    assert_eq!(after.x509, before.x509);
    assert!(after.sequence > empty.sequence);
    assert!(node_ca(&local, "red.fleet.example").await.is_ok());
}

#[tokio::test]
async fn a_revoked_workload_or_id_gets_no_token_and_its_neighbours_do() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let audience = ["a".to_owned()];
    let db = domain("blue.fleet.example").member("/ns/b/sa/db").unwrap();
    for target in [Target::Workload("red-web".into()), Target::SpiffeId(web())] {
        local.revoke(&target).await.unwrap();
        revoked(local.jwt_svid("node-1", &web(), &audience, MINUTE).await);
        assert!(local.jwt_svid("node-1", &db, &audience, MINUTE).await.is_ok());
        local.restore(&target).await.unwrap();
        assert!(local.jwt_svid("node-1", &web(), &audience, MINUTE).await.is_ok());
    }
}

#[tokio::test]
async fn a_revoked_node_is_given_nothing() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let node = domain("fleet.example").member("/node/node-2").unwrap();
    local.revoke(&Target::SpiffeId(node)).await.unwrap();
    let (_, csr) = request().unwrap();
    revoked(local.node_ca("node-2", &domain("red.fleet.example"), &csr).await);
    revoked(local.node_svid("node-2", &csr).await);
    assert!(local.node_svid("node-1", &csr).await.is_ok());
}

#[tokio::test]
async fn a_revocation_that_cannot_be_kept_is_an_error_and_a_repeated_one_is_none() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let red = Target::Tenant("red".into());
    local.revoke(&red).await.unwrap();
    local.revoke(&red).await.unwrap();
    local.restore(&Target::Tenant("never".into())).await.unwrap();
    let sequence = bundle(&local, "red.fleet.example").sequence;
    let drawer = fleet.home.vault_directory().join("fleet");
    std::fs::rename(&drawer, fleet.home.vault_directory().join(".away")).unwrap();
    let answer = local.revoke(&Target::Tenant("blue".into())).await;
    assert!(matches!(answer, Err(UpstreamError::Away(_))), "{answer:?}");
    assert!(!bundle(&local, "blue.fleet.example").x509.is_empty());
    assert_eq!(bundle(&local, "red.fleet.example").sequence, sequence);
}
