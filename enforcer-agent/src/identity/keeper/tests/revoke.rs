//! Taking away, and giving back.

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::target::Target;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::stage::{Disk, START, Stage, met, policy};
use crate::door::identity::{Command, Refused};
use crate::door::upstream::Upstream as _;
use crate::identity::svid::Standing;

#[tokio::test]
async fn a_revoked_workload_is_closed_when_the_answer_comes_and_its_neighbours_learn_its_serial() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let (a, _) = (stage.granted("a").await, stage.granted("b").await);
    let revoked = stage.revoke(Target::Workload("a".into())).await.unwrap();
    assert_eq!(revoked, ["a"]);
    let standing = stage.wallet.follow(&"a".into()).unwrap().borrow().clone();
    assert!(matches!(standing, Standing::Closed(_)), "{standing:?}");
    let has_list =
        |standing: &Standing| matches!(standing, Standing::Granted(material) if !material.crls.is_empty());
    let Standing::Granted(b) = stage.stands("b", has_list).await else { unreachable!() };
    let lists = b.crls.values().next().unwrap();
    let (_, list) = CertificateRevocationList::from_der(&lists[0]).unwrap();
    let serials: Vec<_> =
        list.iter_revoked_certificates().map(|one| one.user_certificate.to_bytes_be()).collect();
    assert_eq!(serials, std::slice::from_ref(&a.svid.serial));
    // A verifier goes by the ID, which is revoked with the workload.
    assert!((stage.verify)(&a.svid.chain, stage.now()).is_err());
    assert!((stage.verify)(&b.svid.chain, stage.now()).is_ok());
    stage.restore(Target::Workload("a".into())).await.unwrap();
    stage.renewed("a", &a.svid.serial).await;
    stage.close().await;
}

#[tokio::test]
async fn a_revoked_tenant_has_an_empty_bundle_and_no_certificate_of_it_verifies() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let (a, c) = (stage.granted("a").await, stage.granted("c").await);
    stage.revoke(Target::Tenant("red".into())).await.unwrap();
    assert!(stage.closed("a").await.contains("tenant is revoked"));
    assert!(stage.closed("b").await.contains("tenant is revoked"));
    assert!((stage.verify)(&a.svid.chain, stage.now()).is_err());
    assert!((stage.verify)(&c.svid.chain, stage.now()).is_ok());
    stage.close().await;
}

#[tokio::test]
async fn a_revocation_survives_a_restart_and_its_workload() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let a = stage.granted("a").await;
    stage.revoke(Target::SpiffeId(a.svid.id.clone())).await.unwrap();
    stage.close().await;
    let stage = Stage::open(&disk, START);
    assert!(stage.closed("a").await.contains("SPIFFE ID is revoked"));
    assert!((stage.verify)(&a.svid.chain, stage.now()).is_err());
    stage.put(policy(&[("b", "red")]));
    stage.gone("a").await;
    stage.put(policy(&[("a", "red"), ("b", "red")]));
    assert!(stage.closed("a").await.contains("SPIFFE ID is revoked"));
    stage.close().await;
}

#[tokio::test]
async fn certificates_from_before_are_revoked_with_the_last_one_and_federated_tenants_learn_it() {
    let disk = Disk::new();
    let stage = Stage::open_with(&disk, START, met());
    let first = stage.granted("a").await;
    stage.ask(|reply| Command::Rotate(Some(Target::Workload("a".into())), reply)).await.unwrap();
    let second = stage.renewed("a", &first.svid.serial).await;
    stage.granted("c").await;
    stage.revoke(Target::Workload("a".into())).await.unwrap();
    let has_list =
        |standing: &Standing| matches!(standing, Standing::Granted(material) if !material.crls.is_empty());
    let Standing::Granted(c) = stage.stands("c", has_list).await else { unreachable!() };
    let lists = &c.crls[&"red.fleet.example".parse().unwrap()];
    let (_, list) = CertificateRevocationList::from_der(&lists[0]).unwrap();
    let mut serials: Vec<_> =
        list.iter_revoked_certificates().map(|one| one.user_certificate.to_bytes_be()).collect();
    let mut expected = vec![first.svid.serial.clone(), second.svid.serial.clone()];
    serials.sort();
    expected.sort();
    assert_eq!(serials, expected);
    stage.close().await;
}

#[tokio::test]
async fn a_tenant_of_thousands_is_closed_before_the_answer_comes() {
    let disk = Disk::new();
    let names: Vec<String> = (0..3_000).map(|number| format!("w{number}")).collect();
    let workloads: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "red")).collect();
    let stage = Stage::open_with(&disk, START, policy(&workloads));
    for name in &names {
        stage.granted(name).await;
    }
    assert_eq!(stage.revoke(Target::Tenant("red".into())).await.unwrap().len(), names.len());
    for name in &names {
        let standing = stage.wallet.follow(&name.as_str().into()).unwrap().borrow().clone();
        assert!(matches!(standing, Standing::Closed(_)), "{name}: {standing:?}");
    }
    stage.close().await;
}

#[tokio::test]
async fn a_node_can_be_revoked_though_no_workload_has_its_id() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    stage.granted("a").await;
    let lost: SpiffeId = "spiffe://fleet.example/node/lost".parse().unwrap();
    assert_eq!(stage.revoke(Target::SpiffeId(lost.clone())).await, Ok(Vec::new()));
    let trust = stage.upstream.trust();
    assert!(trust.borrow().revoked.spiffe_ids.contains(&lost));
    stage.restore(Target::SpiffeId(lost)).await.unwrap();
    stage.close().await;
}

#[tokio::test]
async fn nobody_is_revoked_by_a_name_that_nobody_has_and_nothing_is_given_back_twice() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    stage.granted("a").await;
    let nobody = Target::Workload("nobody".into());
    assert_eq!(stage.revoke(nobody.clone()).await, Err(Refused::Unknown(nobody)));
    assert!(matches!(stage.restore(Target::Tenant("red".into())).await, Err(Refused::Senseless(_))));
    stage.close().await;
}
