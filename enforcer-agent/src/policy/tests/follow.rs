//! The node changes under a policy: the tables follow under the same revision.

use std::sync::Arc;

use enforcer_core::node::Attachment;
use enforcer_proto::v1;

use super::{Bench, delta, snapshot, tenant, workload};

#[test]
fn a_workload_that_appears_is_attached_under_the_same_revision() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 16)])).unwrap();
    let push = v1::Snapshot { workloads: vec![workload("w", "red", "10.0.0.1")], ..v1::Snapshot::default() };
    let accepted = engine.apply(delta(push)).unwrap();
    assert!(accepted.warnings.iter().any(|warning| warning.contains("workload w")), "{accepted:?}");
    assert!(bench.kernel.inside().image.interfaces.is_empty());

    let there = Attachment { interface: Some(7), ..Attachment::default() };
    bench.node.seen().attachments.insert(Arc::from("w"), there);
    engine.recheck();
    assert!(bench.kernel.inside().image.interfaces.contains_key(&7));
    assert_eq!(engine.history.current().number, accepted.revision);
    assert!(engine.report().unwrap().drift.is_empty());

    bench.node.seen().attachments.clear();
    engine.recheck();
    assert!(bench.kernel.inside().image.interfaces.is_empty());
}

#[test]
fn an_unchanged_node_costs_no_commit() {
    let bench = Bench::new();
    let mut engine = bench.start();
    bench.kernel.inside().asked.clear();
    engine.recheck();
    assert!(bench.kernel.inside().asked.is_empty());
}

#[test]
fn what_somebody_else_changes_in_the_tables_is_drift() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 16)])).unwrap();
    let agreed = engine.report().unwrap();
    assert!(agreed.drift.is_empty());
    bench.kernel.inside().image.tenants.clear();
    let drifted = engine.report().unwrap();
    assert!(!drifted.drift.is_empty());
    assert_ne!(drifted.digest, agreed.digest);
}
