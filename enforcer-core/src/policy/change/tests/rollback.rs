//! Putting an older revision in force again.

use super::*;

#[test]
fn a_rollback_brings_rules_back_and_leaves_addresses_that_changed_hands() {
    let tenants = [tenant("red", 16, ""), tenant("blue", 17, "")];
    let older = policy(
        &[
            tenants.to_vec(),
            vec![
                rule("r", "tenant: red", "tenant: blue", ""),
                binding("10.0.0.1", "tenant: red", 1),
                binding("10.0.0.2", "tenant: red", 1),
            ],
        ]
        .concat(),
    );
    let newer = put(&older, &[tenants.to_vec(), vec![binding("10.0.0.1", "tenant: blue", 2)]].concat(), true)
        .unwrap()
        .policy;
    assert!(newer.rules.is_empty());
    let back = apply(&newer, &Change::Rollback(Box::new(older.clone())), NOW).unwrap().policy;
    assert_eq!(back.rules, older.rules);
    let bound = |policy: &Policy, address: &str| {
        policy.bindings.get(&address.parse::<std::net::IpAddr>().unwrap()).cloned()
    };
    assert_eq!(bound(&back, "10.0.0.1"), bound(&newer, "10.0.0.1"));
    assert_eq!(bound(&back, "10.0.0.2"), bound(&older, "10.0.0.2"));
}

#[test]
fn a_rollback_drops_bindings_of_tenants_it_does_not_have_and_says_so() {
    let older = policy(&[tenant("red", 16, "")]);
    let newer =
        add(&older, &[tenant("blue", 17, ""), binding("10.0.0.1", "tenant: blue", 1)]).unwrap().policy;
    let changed = apply(&newer, &Change::Rollback(Box::new(older)), NOW).unwrap();
    assert!(changed.policy.bindings.is_empty());
    assert!(changed.warnings[0].contains("bindings[10.0.0.1]"), "{:?}", changed.warnings);
    assert_eq!(changed.policy.index.retired_ids.get(&17).map(|name| &**name), Some("blue"));
}
