//! What holds beside the policy names tenants of the policy, and reaches the kernel by their numbers.

use std::time::Duration;

use enforcer_core::device::class::Kind;
use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::{Aggregation, Enforcement as _, Response, ResponseMode};
use enforcer_proto::v1;

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

/// Between the change and the room of custody's hearing of it nobody new is let through.
#[test]
fn a_device_that_changes_hands_is_closed_before_the_policy_is_in_force() {
    let bench = Bench::new();
    let mut engine = bench.start();
    let gpu = |minor| DeviceNumber { kind: Kind::Char, major: 195, minor };
    let holds = |name: &str, id: u32, minors: Vec<u32>| {
        let mut tenant = tenant(name, id);
        let grant =
            v1::DeviceGrant { class: "nvidia".to_owned(), minors: Some(v1::MinorList { items: minors }) };
        tenant.devices = vec![grant];
        tenant
    };
    engine.apply(snapshot(&[holds("red", 100, vec![0]), holds("blue", 200, vec![1])])).unwrap();
    let mut wall = bench.kernel.clone();
    wall.set_custody(gpu(0), Some(GateCustody::Granted)).unwrap();
    wall.set_custody(gpu(1), Some(GateCustody::Owner(200))).unwrap();
    engine.apply(snapshot(&[holds("red", 100, vec![0]), holds("blue", 200, vec![1, 2])])).unwrap();
    let held = |minor| bench.kernel.inside().custody.get(&gpu(minor)).copied();
    assert_eq!((held(0), held(1)), (Some(GateCustody::Granted), Some(GateCustody::Owner(200))));
    engine.apply(snapshot(&[tenant("red", 100), holds("green", 300, vec![0, 1])])).unwrap();
    assert_eq!((held(0), held(1)), (Some(GateCustody::Closed), Some(GateCustody::Owner(200))));
}
