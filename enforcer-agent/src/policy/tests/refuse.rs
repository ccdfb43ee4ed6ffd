//! Changes that cannot be: one clear problem each, and nothing changes.

use enforcer_core::policy::change::Change;
use enforcer_proto::v1;

use super::{Bench, codes, delta, snapshot, submission, tenant, workload};
use crate::door::policy::Submission;

#[test]
fn a_stale_base_revision_is_refused() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 16)])).unwrap();
    let stale = Submission { base_revision: Some(0), ..snapshot(&[tenant("blue", 17)]) };
    let refusal = engine.apply(stale).unwrap_err();
    assert_eq!(refusal.problems[0].code, "stale_base_revision");
    assert_eq!(refusal.revision_in_force, 1);
    let fresh = Submission { base_revision: Some(1), ..snapshot(&[tenant("blue", 17)]) };
    assert_eq!(engine.apply(fresh).unwrap().revision, 2);
}

#[test]
fn more_than_the_tables_hold_is_refused_before_anything_is_written() {
    let bench = Bench::new();
    let mut engine = bench.start();
    bench.kernel.inside().asked.clear();
    let many: Vec<v1::Tenant> = (0..9).map(|n| tenant(&format!("t{n}"), 16 + n)).collect();
    let refusal = engine.apply(snapshot(&many)).unwrap_err();
    assert_eq!(refusal.problems[0].code, "capacity_exceeded");
    assert_eq!(refusal.problems[0].path, "capacities.tenants");
    assert!(bench.kernel.inside().asked.is_empty());
}

#[test]
fn what_the_node_cannot_enforce_is_refused_by_name() {
    let bench = Bench::new();
    let mut engine = bench.start();
    bench.node.seen().lacks_gate = true;
    engine.recheck();
    let grant = v1::DeviceGrant { class: "nvidiactl".to_owned(), minors: None };
    let red = v1::Tenant { devices: vec![grant], ..tenant("red", 16) };
    let refusal = engine.apply(snapshot(&[red])).unwrap_err();
    assert!(refusal.problems.iter().any(|problem| problem.code == "capability_absent"), "{refusal:?}");
    assert_eq!(engine.history.current().number, 0);
}

#[test]
fn every_problem_of_a_push_is_told_and_none_of_it_applies() {
    let bench = Bench::new();
    let mut engine = bench.start();
    let push = v1::Snapshot {
        tenants: vec![tenant("red", 16), tenant("blue", 16), tenant("Green", 18)],
        workloads: vec![workload("w", "nobody", "10.0.0.1")],
        ..v1::Snapshot::default()
    };
    assert!(codes(engine.apply(submission(Change::Snapshot(push)))).len() >= 3);
    assert_eq!(engine.history.current().policy.tenants.len(), 0);
}

#[test]
fn a_node_that_cannot_be_looked_at_refuses_workloads_and_keeps_the_rest() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 16)])).unwrap();
    bench.node.seen().unreadable = true;
    let push = v1::Snapshot { workloads: vec![workload("w", "red", "10.0.0.1")], ..v1::Snapshot::default() };
    assert_eq!(codes(engine.apply(delta(push))), ["node_unreadable"]);
    engine.recheck();
    assert!(engine.in_force().ready);
    let blue = v1::Snapshot { tenants: vec![tenant("blue", 17)], ..v1::Snapshot::default() };
    assert_eq!(engine.apply(delta(blue)).unwrap().revision, 2);
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let bench = Bench::new();
    let mut engine = bench.start();
    bench.kernel.inside().asked.clear();
    let forecast = engine.validate(&snapshot(&[tenant("red", 16)])).unwrap();
    assert_eq!(forecast.diff.changes.len(), 1);
    assert_eq!(forecast.diff.changes[0].name, "red");
    assert!(forecast.diff.entries_written >= 1);
    assert_eq!(engine.history.current().number, 0);
    assert!(bench.kernel.inside().asked.is_empty());
}

#[test]
fn what_changes_nothing_makes_no_revision() {
    let bench = Bench::new();
    let mut engine = bench.start();
    let first = engine.apply(snapshot(&[tenant("red", 16)])).unwrap();
    let again = engine.apply(snapshot(&[tenant("red", 16)])).unwrap();
    assert_eq!((again.revision, again.digest), (first.revision, first.digest));
}
