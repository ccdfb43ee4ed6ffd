//! A change costs what it changes, whatever is there already.

use std::time::{Duration, Instant};

use super::*;

fn tenant_message(number: u32) -> v1::Tenant {
    v1::Tenant {
        name: format!("t{number}"),
        id: 16 + number,
        tier: 1,
        data_classification: 1,
        mode: 1,
        ..v1::Tenant::default()
    }
}

fn rule_message(number: u32) -> v1::Rule {
    let who = |number: u32| v1::Peer { who: Some(v1::peer::Who::Tenant(format!("t{number}"))) };
    v1::Rule {
        name: format!("r{number}"),
        from: Some(who(0)),
        to: Some(who(1)),
        ports: Some(v1::PortList {
            items: vec![v1::Port { protocol: 1, port: Some(1 + number % 60_000), ..v1::Port::default() }],
        }),
        action: 1,
        mode: 1,
        ..v1::Rule::default()
    }
}

fn binding_message(number: u32, tenants: u32) -> v1::Binding {
    v1::Binding {
        address: std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string(),
        generation: 1,
        holder: Some(v1::binding::Holder::Tenant(format!("t{}", number % tenants))),
        ..v1::Binding::default()
    }
}

fn world(tenants: u32, bindings: u32) -> v1::Snapshot {
    v1::Snapshot {
        tenants: (0..tenants).map(tenant_message).collect(),
        bindings: (1..=bindings).map(|number| binding_message(number, tenants)).collect(),
        ..v1::Snapshot::default()
    }
}

/// The fastest of some tries: a busy machine makes others slow, never fast.
fn fastest(mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..9).map(|_| time(&mut work)).min().unwrap_or_default()
}

#[test]
fn a_delta_does_not_grow_with_what_is_there() {
    let change = Change::Delta(v1::Delta {
        upsert: Some(v1::Snapshot { rules: (0..100).map(rule_message).collect(), ..v1::Snapshot::default() }),
        ..v1::Delta::default()
    });
    let cost = |tenants, bindings| {
        let before =
            apply(&Policy::default(), &Change::Snapshot(world(tenants, bindings)), NOW).unwrap().policy;
        fastest(|| assert_eq!(apply(&before, &change, NOW).unwrap().policy.rules.len(), 100))
    };
    let (small, large) = (cost(10, 10), cost(10_000, 100_000));
    println!("100 rules on 10 tenants and 10 bindings: {small:?}; on 10,000 and 100,000: {large:?}");
    assert!(large < small * 8, "{small:?} became {large:?}");
}

/// `cargo test --release -p enforcer-core a_full_load -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: a million bindings"]
fn a_full_load_takes_seconds() {
    let message = Change::Snapshot(world(10_000, 1_000_000));
    let start = Instant::now();
    let policy = apply(&Policy::default(), &message, NOW).unwrap().policy;
    println!("first load: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(apply(&policy, &message, NOW).unwrap().policy, policy);
    println!("the same again: {:?}", start.elapsed());
}
