//! Addresses: one holder each, and a late message does not move one back.

use super::*;

fn releasing(address: &str, generation: u64) -> v1::Delta {
    v1::Delta {
        delete_bindings: vec![v1::BindingRef { address: address.to_owned(), generation }],
        ..v1::Delta::default()
    }
}

fn two() -> Vec<String> {
    vec![tenant("red", 16, ""), tenant("blue", 17, "")]
}

fn with(more: &[String]) -> Policy {
    policy(&[two(), more.to_vec()].concat())
}

#[test]
fn overlapping_addresses_are_refused_between_workloads_and_bindings() {
    let before = with(&[workload("web", "red", "10.0.0.1", "")]);
    let outcome = add(&before, &[workload("db", "blue", "10.0.0.1", "")]);
    assert_refused(outcome, "address_overlap", "workloads[db]");
    let outcome = add(&before, &[binding("10.0.0.1", "tenant: blue", 1)]);
    assert_refused(outcome, "address_overlap", "bindings[10.0.0.1]");
    let before = with(&[binding("10.0.0.1", "tenant: blue", 1)]);
    let outcome = add(&before, &[workload("web", "red", "10.0.0.1", "")]);
    assert_refused(outcome, "address_overlap", "workloads[web]");
}

#[test]
fn an_address_may_change_hands_within_one_change() {
    let before = with(&[workload("web", "red", "10.0.0.1", ""), workload("db", "blue", "10.0.0.2", "")]);
    let after =
        add(&before, &[workload("web", "red", "10.0.0.2", ""), workload("db", "blue", "10.0.0.1", "")]);
    let index = after.unwrap().policy.index;
    let holder = index.holder.get(&"10.0.0.1".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(holder, Some(&crate::policy::model::Holder::Workload("db".into())));
}

#[test]
fn an_older_generation_does_not_take_an_address_back() {
    let before = with(&[binding("10.0.0.1", "tenant: blue", 5)]);
    let outcome = add(&before, &[binding("10.0.0.1", "tenant: red", 4)]);
    assert_refused(outcome, "stale_generation", "bindings[10.0.0.1].generation");
    let outcome = add(&before, &[binding("10.0.0.1", "tenant: red", 5)]);
    assert_refused(outcome, "generation_not_raised", "bindings[10.0.0.1].generation");
    let after = add(&before, &[binding("10.0.0.1", "tenant: red", 6)]).unwrap().policy;
    assert_eq!(after.bindings.values().next().unwrap().generation, 6);
    assert_eq!(after.index.mentions.get("blue"), None);
}

#[test]
fn a_late_delete_of_another_generation_deletes_nothing_and_says_so() {
    let before = with(&[binding("10.0.0.1", "tenant: blue", 5)]);
    let changed = delta(&before, releasing("10.0.0.1", 4)).unwrap();
    assert_eq!(changed.policy, before);
    assert!(changed.warnings[0].contains("generation 4"), "{:?}", changed.warnings);
    let changed = delta(&before, releasing("10.0.0.1", 5)).unwrap();
    assert!(changed.policy.bindings.is_empty() && changed.warnings.is_empty());
    assert_eq!(changed.policy.index.holder.len(), 0);
}

#[test]
fn a_lease_counts_from_receipt() {
    let document = binding("10.0.0.1", "tenant: blue, lease: 90s", 1);
    let after = with(&[document]);
    assert_eq!(after.bindings.values().next().unwrap().lease_until, Some(NOW + 90_000_000_000));
}

#[test]
fn a_place_on_a_node_belongs_to_one_workload() {
    let before = with(&[workload("web", "red", "10.0.0.1", ", interface: veth0")]);
    let outcome = add(&before, &[workload("db", "blue", "10.0.0.2", ", interface: veth0")]);
    assert_refused(outcome, "place_taken", "workloads[db].interface");
    let elsewhere = workload("db", "blue", "10.0.0.2", ", interface: veth0, node: other");
    assert!(add(&before, &[elsewhere]).is_ok());
}
