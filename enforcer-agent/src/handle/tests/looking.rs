//! Looking: findings go on record once, slow looks are left out, and a device is free only when everybody says so.

use std::time::Duration;

use enforcer_common::identity;
use enforcer_core::device::holding::{Touched, Vacancy};
use enforcer_proto::v1;

use super::stage::{AT, RED, Set, Sleeper, Stage, fields, gpu, holding};
use crate::door::device::HandleCommand;
use crate::handle::Settings;

#[tokio::test]
async fn a_finding_is_an_alert_when_it_begins_and_when_it_ends() {
    let stage = Stage::set(Set::default());
    let me = std::process::id();
    stage.kernel.lock().unwrap().holdings.push(holding(me, 1, identity::HOST));
    let answer = stage.handles().await.unwrap();
    assert_eq!(answer.handles.len(), 1);
    assert_eq!(answer.handles[0].process.as_ref().map(|process| process.pid), Some(me));
    assert_eq!(answer.findings[0].kind, "holder_without_grant");
    stage.handles().await.unwrap();
    let raised = stage.events("alert");
    assert_eq!(raised.len(), 1, "told once: {raised:?}");
    assert_eq!((raised[0].event.as_str(), raised[0].level.as_str()), ("raised", "high"));
    assert_eq!(fields(&raised[0]), ["device", "lastsSeconds", "tenants"].into());

    stage.kernel.lock().unwrap().holdings.clear();
    assert_eq!(stage.handles().await.unwrap().findings, []);
    let events: Vec<String> = stage.events("alert").into_iter().map(|note| note.event).collect();
    assert_eq!(events, ["raised", "ended"]);
}

#[tokio::test]
async fn the_room_looks_by_itself_and_leaves_out_what_it_cannot_keep_up_with() {
    let settings = Settings { sweep: Duration::from_millis(20), ..Set::default().settings };
    let stage = Stage::set(Set { settings, ..Set::default() });
    stage.kernel.lock().unwrap().is_slow = true;
    stage.kernel.lock().unwrap().holdings.push(holding(std::process::id(), 1, identity::HOST));
    for _ in 0..200 {
        if !stage.events("alert").is_empty() && !stage.events("device").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stage.events("alert").len(), 1);
    let skipped = stage.events("device");
    assert_eq!(skipped.first().map(|note| note.event.as_str()), Some("sweep_skipped"));
}

async fn vacancy(stage: &Stage) -> Vacancy {
    stage.door.ask(|reply| HandleCommand::Vacancy(gpu(0), reply)).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_device_is_free_when_nobody_holds_it_and_no_group_that_had_it_has_processes() {
    let Some((sleeper, cgroup_root)) = Sleeper::start("vacancy") else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let stage = Stage::set(Set { cgroup_root, workload: Some(sleeper.id), ..Set::default() });
    assert!(vacancy(&stage).await.is_proven());
    let touched = |identity| Touched { cgroup: sleeper.id, device: gpu(0), first_ns: 1, identity };
    stage.kernel.lock().unwrap().touched.push(touched(identity::FIRST_SERVICE));
    assert!(vacancy(&stage).await.is_proven(), "a host service keeps its devices");
    stage.kernel.lock().unwrap().touched.push(touched(RED));
    let populated = vacancy(&stage).await;
    assert_eq!(populated.populated, [sleeper.id], "it may have a file that no descriptor shows");
    assert!(!populated.is_proven());
    stage.kernel.lock().unwrap().touched.clear();
    stage.kernel.lock().unwrap().holdings.push(holding(sleeper.child.id(), sleeper.id, RED));
    assert_eq!(vacancy(&stage).await.holders, [sleeper.child.id()]);
    stage.kernel.lock().unwrap().holdings.clear();
    stage.kernel.lock().unwrap().lacking = Some("cut short".to_owned());
    assert!(!vacancy(&stage).await.is_proven(), "what was not looked at is not proven");
}

#[tokio::test]
async fn a_wrong_device_is_refused_and_the_verbs_of_containment_work_here() {
    let Some((_sleeper, cgroup_root)) = Sleeper::start("drill") else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let stage = Stage::set(Set { cgroup_root: cgroup_root.clone(), ..Set::default() });
    let wrong = v1::HandlesRequest { device: Some("x:1".to_owned()), tenant: None };
    let refused = stage.door.ask(|reply| HandleCommand::Handles(wrong, reply)).await.unwrap();
    assert!(refused.is_err());
    let verbs = stage.door.ask(HandleCommand::Drill).await.unwrap().unwrap();
    let words: Vec<(&str, &str, &str)> =
        verbs.iter().map(|verb| (verb.name.as_str(), verb.state.as_str(), verb.reason.as_str())).collect();
    assert_eq!(words, [("freeze", "verified", ""), ("thaw", "verified", ""), ("kill", "verified", "")]);
    let left: Vec<_> = std::fs::read_dir(&cgroup_root)
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(&format!("enforcer-drill-{}-", std::process::id())))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    assert!(stage.told.lock().unwrap().iter().all(|record| record.time.is_some() && AT > 0));
}
