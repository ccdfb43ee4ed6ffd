//! An authority that is away or says no, and clocks that are set.

use std::time::Duration;

use super::stage::{Disk, HOUR, START, Stage};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_failed_renewal_keeps_the_last_good_one_and_readiness_falls_before_it_ends() {
    let disk = Disk::new();
    let mut stage = Stage::open(&disk, START);
    let first = stage.granted("a").await;
    // What the configuration weakened is told for as long as it is so, and is no reason not to be ready.
    stage.health(|health| health.ready && health.warnings == ["a weakness"]).await;
    // The node CAs end before the certificates would be renewed, and there is nobody to ask.
    stage.be_away(true);
    stage.set_clock(START + DAY - HOUR / 2);
    let last = stage.renewed("a", &first.svid.serial).await;
    stage.set_clock(last.svid.not_after - HOUR / 60);
    let health = stage.health(|health| !health.ready).await;
    assert!(health.warnings.iter().any(|told| told.contains("workload a")), "{health:?}");
    assert_eq!(stage.granted("a").await.svid.serial, last.svid.serial, "the last good one is served");
    stage.set_clock(last.svid.not_after + HOUR / 60);
    stage.stands("a", |standing| matches!(standing, crate::identity::svid::Standing::Waiting)).await;
    stage.be_away(false);
    stage.set_clock(last.svid.not_after + HOUR);
    stage.renewed("a", &last.svid.serial).await;
    stage.health(|health| health.ready).await;
    stage.close().await;
}

#[tokio::test]
async fn an_authority_that_refuses_closes_and_one_that_thinks_better_of_it_opens() {
    let disk = Disk::new();
    let stage = Stage::open_with(&disk, START, super::stage::policy(&[]));
    stage.refuse(true);
    stage.put(super::stage::policy(&[("a", "red")]));
    assert!(stage.closed("a").await.contains("refuses"));
    stage.refuse(false);
    stage.set_clock(START + HOUR / 10);
    stage.granted("a").await;
    stage.close().await;
}

#[tokio::test]
async fn a_clock_that_is_set_forward_or_back_by_a_day_ends_in_certificates_for_its_time() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let mut last = stage.granted("a").await;
    for now in [START + DAY, START, START - DAY] {
        stage.set_clock(now);
        last = stage.renewed("a", &last.svid.serial).await;
        assert!(last.svid.not_before <= now && now < last.svid.not_after, "at {now:?}");
        let verified = (stage.verify)(&last.svid.chain, now);
        assert!(verified.is_ok(), "at {now:?}: {verified:?}");
    }
    stage.close().await;
}
