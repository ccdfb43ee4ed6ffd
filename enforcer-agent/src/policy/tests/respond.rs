//! What holds beside the policy names tenants of the policy, and reaches the kernel by their numbers.

use std::time::Duration;

use enforcer_core::enforce::{Aggregation, Response, ResponseMode};

use super::{Bench, snapshot, tenant};

const DENY: Response = Response { mode: ResponseMode::DenyNew, lasts: Duration::from_secs(60) };

#[test]
fn a_response_reaches_the_kernel_and_ends_there() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 100)])).unwrap();
    engine.respond(&"red".into(), Some(&DENY)).unwrap();
    assert_eq!(bench.kernel.inside().responses, [(100, DENY)].into());
    engine.respond(&"red".into(), None).unwrap();
    assert!(bench.kernel.inside().responses.is_empty());
}

#[test]
fn a_tenant_that_the_policy_does_not_have_is_refused_and_nothing_changes() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 100)])).unwrap();
    let refused = engine.respond(&"blue".into(), Some(&DENY)).unwrap_err();
    assert!(refused.contains("blue"), "{refused}");
    let wanted = [("red".into(), Aggregation::States), ("blue".into(), Aggregation::None)].into();
    assert!(engine.aggregate(&wanted).is_err());
    assert!(bench.kernel.inside().responses.is_empty() && bench.kernel.inside().aggregation.is_empty());
}

#[test]
fn levels_are_set_as_a_whole() {
    let bench = Bench::new();
    let mut engine = bench.start();
    engine.apply(snapshot(&[tenant("red", 100), tenant("blue", 200)])).unwrap();
    engine.aggregate(&[("red".into(), Aggregation::States)].into()).unwrap();
    engine.aggregate(&[("blue".into(), Aggregation::None)].into()).unwrap();
    assert_eq!(bench.kernel.inside().aggregation, [(200, Aggregation::None)].into());
}
