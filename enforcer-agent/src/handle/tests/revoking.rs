//! Revoking: each step by what it did, and what the last word claims.

use std::time::Duration;

use enforcer_common::identity;
use enforcer_core::device::holding::{GateCustody, Touched};
use enforcer_core::node::Capability;
use enforcer_proto::v1::revoke_request::Of;

use super::stage::{RED, Set, Sleeper, Stage, fields, gpu, holding};
use crate::handle::Settings;

#[tokio::test]
async fn the_gate_is_closed_and_read_back_and_the_steps_are_on_record() {
    let stage = Stage::set(Set::default());
    let (steps, strength) = stage.revoke("gate", 1_000).await;
    assert_eq!(
        (steps, strength.as_str()),
        (vec!["gate ok".to_owned(), "done ok".to_owned()], "no new opens")
    );
    assert_eq!(stage.kernel.lock().unwrap().custody.get(&gpu(0)), Some(&GateCustody::Closed));
    let notes = stage.events("device");
    assert!(notes.iter().all(|note| note.event == "revoke" && note.actor == "uid:0"), "{notes:?}");
    assert!(
        fields(&notes[0]).is_superset(&["step", "outcome", "elapsedMicroseconds", "reason", "to"].into())
    );
    let (again, _) = stage.revoke("gate", 1_000).await;
    assert_eq!(again, ["gate ok", "done ok"], "twice is as good as once");
}

#[tokio::test]
async fn without_lsm_held_descriptors_go_on_and_that_is_said() {
    let stage = Stage::set(Set::default());
    let (steps, strength) = stage.revoke("handles", 1_000).await;
    assert_eq!(steps, ["gate ok", "handles absent", "done failed"]);
    assert_eq!(strength, "no new opens");
    let able = Stage::set(Set { handles: Capability::Present, ..Set::default() });
    let (steps, strength) = able.revoke("handles", 1_000).await;
    assert_eq!(steps, ["gate ok", "handles ok", "done ok"]);
    assert!(strength.starts_with("no new use through the kernel"));
}

#[tokio::test]
async fn behind_a_gate_that_does_not_close_nothing_is_tried() {
    let stage = Stage::set(Set::default());
    stage.kernel.lock().unwrap().is_stuck = true;
    let (steps, strength) = stage.revoke("kill", 1_000).await;
    assert_eq!(steps, ["gate failed", "handles skipped", "freeze skipped", "kill skipped", "done failed"]);
    assert_eq!(strength, "nothing is proven");
}

#[tokio::test]
async fn two_at_once_on_one_device_are_one_and_a_refusal() {
    let stage = Stage::set(Set::default());
    stage.kernel.lock().unwrap().waits = true;
    let mut first = stage.begin("gate", 1_000).await.unwrap();
    let refused = stage.begin("gate", 1_000).await.unwrap_err();
    assert!(refused.contains("nvidia:0 is under way"), "{refused}");
    let tenant = stage.begin_of(Of::Tenant("red".to_owned()), "gate", 1_000).await.unwrap_err();
    assert!(tenant.contains("under way"), "a tenant's devices are the same devices: {tenant}");
    stage.kernel.lock().unwrap().waits = false;
    while first.recv().await.is_some() {}
    assert_eq!(stage.revoke("gate", 1_000).await.0, ["gate ok", "done ok"]);
}

#[tokio::test]
async fn who_asked_may_go_away_and_it_goes_on() {
    let stage = Stage::set(Set::default());
    stage.kernel.lock().unwrap().waits = true;
    drop(stage.begin("gate", 1_000).await.unwrap());
    stage.kernel.lock().unwrap().waits = false;
    for _ in 0..200 {
        if stage.events("device").len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stage.kernel.lock().unwrap().custody.get(&gpu(0)), Some(&GateCustody::Closed));
    assert_eq!(stage.events("device").len(), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let stage = Stage::set(Set::default());
    let device = |name: &str| Of::Device(name.to_owned());
    for (of, to) in [
        (device("nvidia:0"), "everything"),
        (device("nvidia"), "gate"),
        (device("c 1:3"), "gate"),
        (Of::Tenant("blue".to_owned()), "gate"),
    ] {
        assert!(stage.begin_of(of.clone(), to, 1_000).await.is_err(), "{of:?}");
    }
    assert!(stage.kernel.lock().unwrap().custody.is_empty());
}

#[tokio::test]
async fn holders_are_frozen_then_killed_and_the_device_is_proven_free() {
    let Some((mut sleeper, cgroup_root)) = Sleeper::start("kill") else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let reset = Some(["/bin/sh", "-c", "test {number} = 0"].map(str::to_owned).into());
    let settings = Settings { reset, ..Set::default().settings };
    let stage = Stage::set(Set { settings, cgroup_root, workload: Some(sleeper.id), ..Set::default() });
    stage.kernel.lock().unwrap().holdings.push(holding(sleeper.child.id(), sleeper.id, RED));

    let (steps, strength) = stage.revoke("freeze", 5_000).await;
    assert_eq!(steps, ["gate ok", "handles absent", "freeze ok", "done ok"]);
    assert_eq!(strength, "stopped");
    assert!(sleeper.is_frozen() && sleeper.is_alive());

    let (steps, strength) = stage.revoke("reset", 10_000).await;
    assert_eq!(steps, ["gate ok", "handles absent", "freeze ok", "kill ok", "reset ok", "done ok"]);
    assert_eq!(strength, "gone and reset");
    assert!(!sleeper.is_alive());
    assert!(!sleeper.is_frozen(), "whoever comes next into the group can run");
}

#[tokio::test]
async fn who_is_no_workloads_is_not_touched_and_stands_in_the_way() {
    let Some((mut sleeper, cgroup_root)) = Sleeper::start("stranger") else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let stage = Stage::set(Set { cgroup_root, workload: None, ..Set::default() });
    stage.kernel.lock().unwrap().holdings.push(holding(sleeper.child.id(), sleeper.id, identity::HOST));
    let (steps, strength) = stage.revoke("kill", 500).await;
    assert_eq!(steps, ["gate ok", "handles absent", "freeze failed", "kill failed", "done failed"]);
    assert_eq!(strength, "no new opens");
    assert!(sleeper.is_alive() && !sleeper.is_frozen());
    let words: Vec<String> = stage.events("device").into_iter().map(|note| note.message).collect();
    let pid = sleeper.child.id().to_string();
    assert!(words.iter().filter(|word| word.contains(&pid)).count() >= 2, "it says who: {words:?}");
}

#[tokio::test]
async fn a_tenants_revocation_leaves_others_alone() {
    let Some((mut others, cgroup_root)) = Sleeper::start("others") else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let Some((mut reds, _)) = Sleeper::start("reds") else { return };
    let stage = Stage::set(Set { cgroup_root, workload: Some(reds.id), ..Set::default() });
    stage.kernel.lock().unwrap().holdings.push(holding(others.child.id(), others.id, RED + 1));
    stage.kernel.lock().unwrap().touched.push(Touched {
        cgroup: reds.id,
        device: gpu(0),
        first_ns: 1,
        identity: RED,
    });
    let mut steps = stage.begin_of(Of::Tenant("red".to_owned()), "kill", 5_000).await.unwrap();
    let mut last = None;
    while let Some(step) = steps.recv().await {
        last = Some(step);
    }
    let last = last.unwrap();
    assert_eq!((last.outcome.as_str(), last.strength.as_str()), ("ok", "gone"), "{last:?}");
    assert!(!reds.is_alive(), "a group that ever had it is ended");
    assert!(others.is_alive());
}

#[tokio::test]
async fn a_reset_that_fails_or_is_not_configured_is_said() {
    let stage = Stage::set(Set { cgroup_root: std::env::temp_dir(), ..Set::default() });
    let (steps, strength) = stage.revoke("reset", 2_000).await;
    assert_eq!(steps.last().map(String::as_str), Some("done failed"));
    assert!(steps.contains(&"reset absent".to_owned()), "{steps:?}");
    assert_eq!(strength, "gone");
    stage.stopper.stop();
}
