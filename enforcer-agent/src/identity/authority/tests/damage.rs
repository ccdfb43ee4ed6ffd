//! What cannot be read closes what it belongs to, and nothing is replaced.

use std::fs;
use std::sync::Arc;

use super::{DAY, Fleet, START, bundle, domain, node_ca, tick};
use crate::door::upstream::{Target, Upstream as _, UpstreamError};
use crate::identity::authority::Local;

#[tokio::test]
async fn a_damaged_state_closes_one_trust_domain_and_names_the_file() {
    let fleet = Fleet::new();
    drop(fleet.open());
    let path = fleet.home.vault_directory().join("red.fleet.example/authority");
    let good = fs::read(&path).unwrap();
    for damaged in [vec![], good[..good.len() / 2].to_vec(), [&good[..], b"x"].concat()] {
        fs::write(&path, &damaged).unwrap();
        let local = fleet.open();
        match node_ca(&local, "red.fleet.example").await {
            Err(UpstreamError::Refused(why)) => assert!(why.contains(path.to_str().unwrap()), "{why}"),
            other => panic!("{other:?}"),
        }
        let rotated = local.rotate(&domain("red.fleet.example")).await;
        assert!(matches!(rotated, Err(UpstreamError::Refused(_))));
        assert!(!local.trust().borrow().bundles.contains_key(&domain("red.fleet.example")));
        assert!(node_ca(&local, "blue.fleet.example").await.is_ok());
        assert_eq!(fs::read(&path).unwrap(), damaged, "it was replaced");
    }
    // Restored while the agent runs: taken up without a restart.
    let local = fleet.open();
    fs::write(&path, &good).unwrap();
    tick(&local);
    assert!(node_ca(&local, "red.fleet.example").await.is_ok());
}

#[tokio::test]
async fn a_damaged_root_leaves_what_it_signed_in_use() {
    let fleet = Fleet::new();
    let local = fleet.open();
    node_ca(&local, "red.fleet.example").await.unwrap();
    drop(local);
    let path = fleet.home.vault_directory().join("fleet/root");
    fs::write(&path, "nonsense").unwrap();
    let local = fleet.open();
    assert!(local.root_problem().unwrap().contains(path.to_str().unwrap()));
    assert!(node_ca(&local, "red.fleet.example").await.is_ok());
    // The root never signed for this one.
    let answer = node_ca(&local, "blue.fleet.example").await;
    assert!(matches!(answer, Err(UpstreamError::Away(_))), "{answer:?}");
    assert_eq!(fs::read(&path).unwrap(), b"nonsense");
}

#[tokio::test]
async fn unreadable_revocations_are_no_empty_ones() {
    let fleet = Fleet::new();
    let local = fleet.open();
    local.revoke(&Target::Tenant("red".into())).await.unwrap();
    drop(local);
    let path = fleet.home.vault_directory().join("fleet/revocations");
    fs::write(&path, "nonsense").unwrap();
    let (vault, policy) = (Arc::new(fleet.home.open()), fleet.policy().subscribe());
    let error = Local::open(vault, fleet.config.clone(), policy, fleet.clock()).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_does_not_stop_what_is_there() {
    let fleet = Fleet::new();
    let local = fleet.open();
    node_ca(&local, "red.fleet.example").await.unwrap();
    let before = bundle(&local, "red.fleet.example");
    // The drawer is gone from under the agent: every write fails, even root's.
    let drawer = fleet.home.vault_directory().join("red.fleet.example");
    let away = fleet.home.vault_directory().join(".away");
    fs::rename(&drawer, &away).unwrap();
    assert!(node_ca(&local, "red.fleet.example").await.is_ok());
    let rotated = local.rotate(&domain("red.fleet.example")).await;
    assert!(matches!(rotated, Err(UpstreamError::Away(_))), "{rotated:?}");
    assert_eq!(bundle(&local, "red.fleet.example"), before, "a key was published that was not kept");
    // A successor is due and cannot be kept: what there is serves on.
    fleet.set_clock(START + 46 * DAY);
    tick(&local);
    assert!(node_ca(&local, "red.fleet.example").await.is_ok());
    assert_eq!(bundle(&local, "red.fleet.example").x509, before.x509);
    fleet.set_clock(START);
    fs::rename(&away, &drawer).unwrap();
    local.rotate(&domain("red.fleet.example")).await.unwrap();
    assert_eq!(bundle(&local, "red.fleet.example").x509.len(), 2);
}
