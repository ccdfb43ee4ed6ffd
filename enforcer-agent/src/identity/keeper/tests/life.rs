//! From a policy to certificates, and their renewal.

use std::sync::atomic::Ordering;
use std::time::Duration;

use enforcer_core::identity::entitle::NoIdentity;
use enforcer_core::identity::target::Target;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::v1;

use super::stage::{Disk, HOUR, START, Stage, met, policy};
use crate::door::identity::Command;
use crate::identity::svid::Standing;

#[tokio::test]
async fn every_workload_gets_a_certificate_of_its_own_tenant_that_verifies() {
    let (disk, red) = (Disk::new(), "red.fleet.example");
    let stage = Stage::open(&disk, START);
    let (a, b, c) = (stage.granted("a").await, stage.granted("b").await, stage.granted("c").await);
    assert_eq!(a.svid.id.as_str(), "spiffe://red.fleet.example/ns/default/sa/a");
    assert_eq!((b.svid.id.trust_domain(), c.svid.id.trust_domain()), (red, "blue.fleet.example"));
    assert_ne!(a.svid.key.expose(), b.svid.key.expose());
    for material in [&a, &b, &c] {
        let peer = (stage.verify)(&material.svid.chain, stage.now()).unwrap();
        assert_eq!(peer.id, material.svid.id);
        assert_eq!(material.bundle.trust_domain.as_str(), material.svid.id.trust_domain());
        assert!(material.federated.is_empty() && material.crls.is_empty());
    }
    // One authority was asked once for each tenant, not for each workload.
    assert_eq!(stage.upstream.asked.load(Ordering::SeqCst), 2);
    stage.close().await;
}

#[tokio::test]
async fn a_certificate_is_renewed_at_half_of_its_life_and_the_old_one_stays_good() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let first = stage.granted("a").await;
    stage.set_clock(START + HOUR / 2 + HOUR / 10);
    let second = stage.renewed("a", &first.svid.serial).await;
    assert_ne!(first.svid.key.expose(), second.svid.key.expose());
    assert!(second.svid.not_after > first.svid.not_after);
    assert!((stage.verify)(&first.svid.chain, stage.now()).is_ok());
    stage.close().await;
}

#[tokio::test]
async fn a_workload_without_an_account_gets_nothing_and_is_told_apart() {
    let disk = Disk::new();
    let mut entitlements = policy(&[("a", "red"), ("nameless", "red")]);
    entitlements.members.get_mut("nameless").unwrap().id = Err(NoIdentity::NoAccount);
    let stage = Stage::open_with(&disk, START, entitlements);
    stage.granted("a").await;
    assert!(stage.closed("nameless").await.contains("no namespace and service account"));
    let listed = stage.ask(|reply| Command::List(None, reply)).await;
    let state = |name: &str| listed.identities.iter().find(|one| one.workload == name).unwrap().state();
    assert_eq!(state("nameless"), v1::IdentityState::Denied);
    assert_eq!(state("a"), v1::IdentityState::Valid);
    stage.close().await;
}

#[tokio::test]
async fn who_leaves_the_policy_is_served_no_longer_and_a_new_tenant_is_a_new_identity() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let before = stage.granted("a").await;
    stage.put(policy(&[("a", "blue"), ("b", "red")]));
    stage.gone("c").await;
    let is_blue = |standing: &Standing| {
        matches!(standing, Standing::Granted(material)
            if material.svid.id.trust_domain() == "blue.fleet.example")
    };
    stage.stands("a", is_blue).await;
    assert_eq!(before.svid.id.trust_domain(), "red.fleet.example");
    stage.close().await;
}

#[tokio::test]
async fn an_answer_to_an_older_question_is_not_taken_for_a_new_identity() {
    let disk = Disk::new();
    let stage = Stage::open_with(&disk, START, policy(&[("keeps-red-open", "red"), ("c", "blue")]));
    stage.granted("keeps-red-open").await;
    stage.granted("c").await;
    // The workload is asked for in one tenant and, before anything could come of it, given to another.
    for _ in 0..20 {
        stage.put(policy(&[("keeps-red-open", "red"), ("c", "blue"), ("w", "red")]));
        stage.put(policy(&[("keeps-red-open", "red"), ("c", "blue"), ("w", "blue")]));
        let is_blue = |standing: &Standing| {
            matches!(standing, Standing::Granted(material)
                if material.svid.id.trust_domain() == "blue.fleet.example" && material.is_of("blue"))
        };
        stage.stands("w", is_blue).await;
        stage.put(policy(&[("keeps-red-open", "red"), ("c", "blue")]));
        stage.gone("w").await;
    }
    stage.close().await;
}

#[tokio::test]
async fn a_rule_federates_two_bundles_and_its_removal_withdraws_them() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    stage.granted("a").await;
    let [red, blue]: [TrustDomain; 2] =
        ["red.fleet.example", "blue.fleet.example"].map(|name| name.parse().unwrap());
    stage.put(met());
    let knows = |domain: TrustDomain, wanted: bool| move |standing: &Standing| matches!(standing, Standing::Granted(material) if material.federated.contains_key(&domain) == wanted);
    stage.stands("a", knows(blue.clone(), true)).await;
    stage.stands("c", knows(red, true)).await;
    stage.put(policy(&[("a", "red"), ("c", "blue")]));
    stage.stands("a", knows(blue, false)).await;
    stage.close().await;
}

#[tokio::test]
async fn a_rotation_that_is_asked_for_comes_at_once_and_one_of_nobody_is_refused() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let (a, c) = (stage.granted("a").await, stage.granted("c").await);
    let target = Target::Tenant("red".into());
    let mut rotated = stage.ask(|reply| Command::Rotate(Some(target), reply)).await.unwrap();
    rotated.sort();
    assert_eq!(rotated, ["a", "b"]);
    stage.renewed("a", &a.svid.serial).await;
    assert_eq!(stage.granted("c").await.svid.serial, c.svid.serial);
    let nobody = Target::Workload("nobody".into());
    assert!(stage.ask(|reply| Command::Rotate(Some(nobody), reply)).await.is_err());
    stage.close().await;
}

#[tokio::test]
async fn a_new_authority_is_published_before_it_signs_and_breaks_nobody() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let before = stage.granted("a").await;
    assert_eq!(before.bundle.x509.len(), 1);
    let target = Target::Tenant("red".into());
    let rotated = stage.ask(|reply| Command::RotateAuthority(Some(target), reply)).await.unwrap();
    assert_eq!(rotated, ["red.fleet.example"]);
    let has_two = |standing: &Standing| matches!(standing, Standing::Granted(material) if material.bundle.x509.len() == 2);
    stage.stands("a", has_two).await;
    let after = stage.granted("a").await;
    assert!(after.bundle.sequence > before.bundle.sequence);
    assert_eq!(after.svid.serial, before.svid.serial, "nobody was re-keyed");
    assert!((stage.verify)(&before.svid.chain, stage.now()).is_ok());
    stage.close().await;
}

#[tokio::test]
async fn the_node_has_a_certificate_of_its_own_in_the_fleets_trust_domain() {
    let disk = Disk::new();
    let mut stage = Stage::open(&disk, START);
    let own = stage.own.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    let peer = (stage.verify)(&own.cert, stage.now()).unwrap();
    assert_eq!(peer.id.as_str(), "spiffe://fleet.example/node/here");
    assert!(peer.not_after > START + Duration::from_secs(3600));
    stage.close().await;
}

#[tokio::test]
async fn seconds_to_expiry_are_a_metric_of_each_identity() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    for name in ["a", "b", "c"] {
        stage.granted(name).await;
    }
    let text = stage.ask(Command::Metrics).await;
    assert!(text.contains("enforcer_svid_expiry_seconds{tenant=\"red\",workload=\"a\"} 3600\n"), "{text}");
    assert!(
        text.contains("enforcer_svid_state{tenant=\"blue\",workload=\"c\",state=\"valid\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("enforcer_svid_issued_total{tenant=\"red\",workload=\"b\"} 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"));
    stage.close().await;
}
