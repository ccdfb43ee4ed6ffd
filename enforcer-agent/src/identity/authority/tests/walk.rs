//! A trust domain through its life, with the clock in our hand.

use std::time::Duration;

use super::openssl::Verify;
use super::{DAY, Fleet, HOUR, START, bundle, domain, node_ca, svid, tick};
use crate::door::upstream::{Upstream as _, UpstreamError};

const RED: &str = "red.fleet.example";

#[tokio::test]
async fn keys_outlast_a_restart() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let (before, roots) = (bundle(&local, RED), local.roots());
    drop(local);
    let local = fleet.open();
    assert_eq!(bundle(&local, RED), before);
    assert_eq!(local.roots(), roots);
}

/// B-2: readers of a bundle keep the highest number that they saw.
#[tokio::test]
async fn a_state_that_was_lost_does_not_count_from_one_again() {
    let fleet = Fleet::new();
    let local = fleet.open();
    local.rotate(&domain(RED)).await.unwrap();
    let before = bundle(&local, RED).sequence;
    drop(local);
    std::fs::remove_file(fleet.home.vault_directory().join(RED).join("authority")).unwrap();
    fleet.set_clock(START + DAY);
    let after = bundle(&fleet.open(), RED).sequence;
    assert!(after > before, "{before} became {after}");
}

#[tokio::test]
async fn a_successor_is_published_then_signs_then_the_old_one_goes() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let first = bundle(&local, RED);
    let old = svid(&fleet, &local).await;
    fleet.set_clock(START + 45 * DAY + HOUR);
    tick(&local);
    let second = bundle(&local, RED);
    assert_eq!((second.x509.len(), second.jwt.len()), (2, 2));
    assert_eq!(second.x509[0], first.x509[0], "the old one signs still");
    assert!(second.sequence > first.sequence);
    let between = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&first.x509).chain(&between.chain[..2]).unwrap();
    // F-9: five refresh hints ahead, and over a restart.
    drop(local);
    let local = fleet.open();
    assert_eq!(bundle(&local, RED).sequence, second.sequence);
    fleet.set_clock(START + 45 * DAY + HOUR + 5 * 300 - 31);
    tick(&local);
    assert_eq!(bundle(&local, RED).x509, second.x509);
    fleet.set_clock(START + 45 * DAY + HOUR + 5 * 300);
    tick(&local);
    let third = bundle(&local, RED);
    assert_eq!(third.x509, [second.x509[1].clone(), second.x509[0].clone()]);
    assert_eq!(third.jwt, [second.jwt[1].clone(), second.jwt[0].clone()]);
    let new = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&second.x509[1..]).chain(&new.chain[..2]).unwrap();
    // Whoever knows the bundle of before the switch verifies both.
    Verify::at(fleet.now()).trusting(&second.x509).chain(&between.chain[..2]).unwrap();
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&new.chain).unwrap();
    // Its last node CA ends a day after the switch.
    fleet.set_clock(START + 46 * DAY + HOUR + 5 * 300 - 31);
    tick(&local);
    assert_eq!(bundle(&local, RED).x509.len(), 2);
    fleet.set_clock(START + 46 * DAY + HOUR + 5 * 300);
    tick(&local);
    let last = bundle(&local, RED);
    assert_eq!((&last.x509[..], last.jwt.len()), (&third.x509[..1], 1));
    Verify::at(fleet.now()).trusting(&last.x509).chain(&old.chain[..2]).unwrap_err();
}

#[tokio::test]
async fn after_expiry_a_new_authority_signs_at_once() {
    let fleet = Fleet::new();
    let before = bundle(&fleet.open(), RED);
    // The agent was away for a year.
    fleet.set_clock(START + 365 * DAY);
    let local = fleet.open();
    let after = bundle(&local, RED);
    assert!(after.x509.len() == 1 && after.x509[0] != before.x509[0] && after.sequence > before.sequence);
    let svid = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&after.x509).chain(&svid.chain[..2]).unwrap();
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&svid.chain).unwrap();
}

#[tokio::test]
async fn a_rotation_that_is_asked_for_overlaps_too() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let first = bundle(&local, RED);
    local.rotate(&domain(RED)).await.unwrap();
    let second = bundle(&local, RED);
    assert_eq!((second.x509.len(), &second.x509[0]), (2, &first.x509[0]));
    // Asked again while it is under way.
    local.rotate(&domain(RED)).await.unwrap();
    assert_eq!(bundle(&local, RED), second);
    fleet.set_clock(START + 1500);
    tick(&local);
    assert_eq!(bundle(&local, RED).x509[0], second.x509[1]);
    let unknown = local.rotate(&domain("green.fleet.example")).await;
    assert!(matches!(unknown, Err(UpstreamError::Refused(_))));
    local.rotate(&domain("fleet.example")).await.unwrap();
    assert_eq!(bundle(&local, "fleet.example").x509.len(), 2);
    // Asked for over and over: there is a bound, and what signs signs on.
    let mut answer = Ok(());
    for round in 2..30 {
        fleet.set_clock(START + round * 1500);
        tick(&local);
        answer = answer.and(local.rotate(&domain(RED)).await);
    }
    assert!(matches!(answer, Err(UpstreamError::Refused(_))));
    svid(&fleet, &local).await;
}

#[tokio::test]
async fn a_clock_that_steps_a_day_keeps_what_was_signed_valid() {
    let fleet = Fleet::new();
    let local = fleet.open();
    let signed = svid(&fleet, &local).await;
    for step in [START + DAY, START, START - DAY, START] {
        fleet.set_clock(step);
        tick(&local);
        assert!(node_ca(&local, RED).await.is_ok(), "{step}");
    }
    let anchors = bundle(&local, RED).x509.clone();
    Verify::at(fleet.now()).trusting(&anchors).chain(&signed.chain[..2]).unwrap();
}

#[tokio::test]
async fn a_self_signed_root_rotates_and_tenants_follow() {
    let mut fleet = Fleet::new();
    fleet.config.lifetimes.root = Duration::from_secs(200 * DAY);
    let local = fleet.open();
    let old = svid(&fleet, &local).await;
    let first = local.roots();
    fleet.set_clock(START + 100 * DAY);
    tick(&local);
    let second = local.roots();
    assert_eq!((second.len(), &second[0]), (2, &first[0]));
    fleet.set_clock(START + 100 * DAY + 1500);
    tick(&local);
    let new = svid(&fleet, &local).await;
    let root = local.roots().remove(0);
    assert_eq!(root, second[1]);
    Verify::at(fleet.now()).trusting(&[root]).chain(&new.chain).unwrap();
    Verify::at(Duration::from_secs(START)).trusting(&first).chain(&old.chain).unwrap();
    local.rotate_root().await.unwrap();
    // Long after the end of every root.
    fleet.set_clock(START + 3000 * DAY);
    drop(local);
    let local = fleet.open();
    let late = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&local.roots()).chain(&late.chain).unwrap();
}
