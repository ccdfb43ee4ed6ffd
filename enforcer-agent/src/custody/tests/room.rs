//! From tenant to tenant.

use std::sync::atomic::Ordering;
use std::time::Duration;

use enforcer_core::device::custody::Reuse;
use enforcer_core::device::holding::{GateCustody, Vacancy};
use enforcer_proto::v1;

use super::lab::{GPU, Node, chain, damage};
use crate::door::device::CustodyCommand;

const RED: Option<GateCustody> = Some(GateCustody::Owner(16));
const BLUE: Option<GateCustody> = Some(GateCustody::Owner(17));
const CLOSED: Option<GateCustody> = Some(GateCustody::Closed);

fn held() -> Vacancy {
    Vacancy { holders: vec![42], ..Vacancy::default() }
}

#[tokio::test]
async fn a_device_goes_from_tenant_to_tenant_closed_until_scrubbed() {
    let node = Node::new(&["red"]);
    let agent = node.start();
    let first = agent.until("in_use").await;
    assert_eq!((node.gate(), first.tenants), (RED, vec!["red".to_owned()]));
    assert_eq!(node.scrubber.runs.load(Ordering::SeqCst), 1, "first sight is scrubbed");
    node.grant(&["blue"]);
    while node.gate() != BLUE {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let device = agent.until("in_use").await;
    assert_eq!(device.tenants, ["blue"]);
    let tail: Vec<&str> = device.history.iter().rev().take(6).rev().map(String::as_str).collect();
    assert_eq!(tail, ["draining", "quarantined", "sanitizing", "verified", "available", "in_use"]);
    assert_eq!((node.scrubber.runs.load(Ordering::SeqCst), chain(&node)), (2, 2));
    let request = v1::ReceiptsRequest { device: Some("nvidia:0".to_owned()), last: Some(1) };
    let receipts = agent.door.ask(|reply| CustodyCommand::Receipts(request, reply)).await.unwrap().unwrap();
    let text = String::from_utf8(receipts.receipts[0].receipt.clone()).unwrap();
    assert!(
        text.contains(r#""previousTenants":["red"],"nextTenants":["blue"],"method":"command""#),
        "{text}"
    );
    let events = node.told.lock().unwrap().len();
    assert!(events >= 10, "{events}");
    agent.stop().await;
}

#[tokio::test]
async fn a_stale_holder_keeps_it_closed_and_unscrubbed_until_it_lets_go() {
    let node = Node::new(&["red"]);
    let agent = node.start();
    agent.until("in_use").await;
    *node.vacancy.lock().unwrap() = held();
    node.grant(&["blue"]);
    agent.until("quarantined").await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    let device = agent.until("quarantined").await;
    assert!(device.reason.contains("42"), "{}", device.reason);
    assert_eq!((node.gate(), node.scrubber.runs.load(Ordering::SeqCst)), (CLOSED, 1));
    assert!(agent.say("release", "looked at").await.unwrap_err().contains("42"));
    *node.vacancy.lock().unwrap() = Vacancy::default();
    agent.until("in_use").await;
    assert_eq!(node.gate(), BLUE);
    agent.stop().await;
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_free() {
    let node = Node::new(&["red"]);
    *node.vacancy.lock().unwrap() =
        Vacancy { lacking: vec!["no iterators here".to_owned()], ..Vacancy::default() };
    let agent = node.start();
    agent.until("quarantined").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(node.gate(), CLOSED);
    agent.say("release", "looked at by hand").await.unwrap();
    agent.until("in_use").await;
    assert_eq!(chain(&node), 1);
    let refused = agent.say("release", "again").await.unwrap_err();
    assert!(refused.contains("in_use"), "{refused}");
    agent.stop().await;
}

#[tokio::test]
async fn a_failed_scrub_stays_closed_over_restarts_until_a_person_has_it_scrubbed_again() {
    let node = Node::new(&["red"]);
    *node.scrubber.ends.lock().unwrap() = Err("3 of 9 samples");
    let agent = node.start();
    let failed = agent.until("failed").await;
    assert!(failed.reason.contains("3 of 9"), "{}", failed.reason);
    node.grant(&["blue"]);
    agent.stop().await;
    let agent = node.start();
    agent.until("failed").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((node.gate(), chain(&node)), (CLOSED, 0));
    assert!(node.told.lock().unwrap().iter().any(|record| record.r#type == "alert"));
    *node.scrubber.ends.lock().unwrap() = Ok(());
    agent.say("scrub", "").await.unwrap();
    agent.until("in_use").await;
    assert_eq!((node.gate(), chain(&node)), (BLUE, 1));
    agent.stop().await;
}

#[tokio::test]
async fn a_journal_that_is_damaged_opens_nothing() {
    let node = Node::new(&["red"]);
    let agent = node.start();
    agent.until("in_use").await;
    agent.stop().await;
    damage(&node.journal());
    let agent = node.start();
    let device = agent.until("failed").await;
    assert!(device.reason.contains("digest"), "{}", device.reason);
    assert_eq!(node.gate(), CLOSED);
    agent.stop().await;
}

#[tokio::test]
async fn a_journal_that_is_lost_means_a_scrub() {
    let node = Node::new(&["red"]);
    let agent = node.start();
    agent.until("in_use").await;
    agent.stop().await;
    std::fs::remove_file(node.journal()).unwrap();
    let agent = node.start();
    agent.until("in_use").await;
    assert_eq!((node.scrubber.runs.load(Ordering::SeqCst), chain(&node)), (2, 2));
    agent.stop().await;
}

#[tokio::test]
async fn a_restart_leaves_a_device_in_use_open_to_its_tenant() {
    let node = Node::new(&["red"]);
    let agent = node.start();
    agent.until("in_use").await;
    agent.stop().await;
    let written = node.kernel.lock().unwrap().written.len();
    let agent = node.start();
    agent.until("in_use").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let closed = node.kernel.lock().unwrap().written[written..].contains(&(GPU, CLOSED));
    assert!(!closed, "a restart took it from its tenant");
    assert_eq!((node.gate(), node.scrubber.runs.load(Ordering::SeqCst)), (RED, 1));
    agent.stop().await;
}

#[tokio::test]
async fn the_same_tenant_again_is_skipped_by_policy_alone_and_the_receipt_says_so() {
    for (reuse, runs, method) in
        [(Reuse::Never, 2, "\"command\""), (Reuse::SameTenant, 1, "\"skipped-by-policy\"")]
    {
        let mut node = Node::new(&["red"]);
        node.reuse = reuse;
        node.drain = Duration::from_millis(500);
        let agent = node.start();
        agent.until("in_use").await;
        *node.vacancy.lock().unwrap() = held();
        node.grant(&[]);
        agent.until("draining").await;
        node.grant(&["red"]);
        if reuse == Reuse::Never {
            agent.until("quarantined").await;
            *node.vacancy.lock().unwrap() = Vacancy::default();
        }
        agent.until("in_use").await;
        assert_eq!((node.scrubber.runs.load(Ordering::SeqCst), chain(&node)), (runs, 2));
        let key = enforcer_core::device::custody::DeviceKey { class: "nvidia".to_owned(), number: 0 };
        let last = node.keep().receipts(&key, 1).unwrap().remove(0);
        assert!(format!("{:?}", last.receipt.method).contains(method));
        agent.stop().await;
    }
}

#[tokio::test]
async fn tenants_that_share_have_it_together_and_the_last_ones_receipt_names_all() {
    let node = Node::new(&["red", "blue"]);
    let agent = node.start();
    agent.until("in_use").await;
    assert_eq!(node.gate(), Some(GateCustody::Granted));
    node.grant(&["red"]);
    while node.gate() != RED {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(node.scrubber.runs.load(Ordering::SeqCst), 1);
    node.grant(&["green"]);
    while node.gate() != Some(GateCustody::Owner(18)) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let key = enforcer_core::device::custody::DeviceKey { class: "nvidia".to_owned(), number: 0 };
    let last = node.keep().receipts(&key, 1).unwrap().remove(0);
    assert_eq!(last.receipt.previous_tenants.into_iter().collect::<Vec<_>>(), ["blue", "red"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_quarantine_ends_a_scrub_and_waits_for_a_person_over_a_restart() {
    let node = Node::new(&["red"]);
    *node.scrubber.takes.lock().unwrap() = Duration::from_secs(600);
    let agent = node.start();
    agent.until("sanitizing").await;
    agent.quarantine().await.unwrap();
    agent.until("quarantined").await;
    *node.scrubber.takes.lock().unwrap() = Duration::ZERO;
    agent.stop().await;
    let agent = node.start();
    tokio::time::sleep(Duration::from_millis(30)).await;
    agent.until("quarantined").await;
    assert_eq!((node.gate(), node.scrubber.runs.load(Ordering::SeqCst)), (CLOSED, 0));
    agent.say("scrub", "").await.unwrap();
    agent.until("in_use").await;
    agent.stop().await;
}

#[tokio::test]
async fn a_device_without_a_scrubber_is_open_by_grants_and_can_be_closed_by_a_person() {
    let node = Node::new(&[]).without_scrubber(&["red"]);
    let agent = node.start();
    assert_eq!(agent.list().await.unscrubbed, ["nvidia"]);
    assert_eq!(node.gate(), None);
    agent.quarantine().await.unwrap();
    assert_eq!(node.gate(), CLOSED);
    agent.stop().await;
    let agent = node.start();
    agent.until("quarantined").await;
    assert!(agent.say("scrub", "").await.unwrap_err().contains("no scrubber"));
    agent.say("release", "looked at").await.unwrap();
    agent.until("in_use").await;
    assert_eq!(node.gate(), RED);
    agent.stop().await;
}

/// Killed between any two steps, the next agent never finds the gate open to somebody without a receipt since the one
/// before had it, and leads the device to its tenant all the same.
#[tokio::test]
async fn a_crash_between_any_two_steps_opens_nothing() {
    let mut last = None;
    for dies_after in 0_usize.. {
        let node = Node::new(&["red"]);
        let agent = node.start();
        agent.until("in_use").await;
        while node.gate() != RED {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before = chain(&node);
        tokio::time::sleep(Duration::from_millis(5)).await;
        node.steps.store(0, Ordering::SeqCst);
        *node.dies_after.lock().unwrap() = Some(dies_after);
        node.grant(&["blue"]);
        let has_died = wait_for_death(&node, dies_after).await;
        let gate = node.gate();
        assert!(gate != BLUE || chain(&node) > before, "open without a receipt after step {dies_after}");
        agent.stop().await;
        *node.dies_after.lock().unwrap() = None;
        let agent = node.start();
        while node.gate() != BLUE {
            assert!(node.gate() != Some(GateCustody::Granted));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(chain(&node) > before, "handed on without a receipt after step {dies_after}");
        assert!(node.scrubber.runs.load(Ordering::SeqCst) >= 2);
        agent.stop().await;
        if !has_died {
            last = Some(dies_after);
            break;
        }
    }
    assert!(last.is_some_and(|steps| steps >= 15), "{last:?}");
}

/// False when the device had arrived before that step.
async fn wait_for_death(node: &Node, step: usize) -> bool {
    loop {
        if node.steps.load(Ordering::SeqCst) > step {
            return true;
        }
        if node.gate() == BLUE {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return node.steps.load(Ordering::SeqCst) > step;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
