//! Registering and deleting tenants: whole or not at all, and a number is one tenant's for ever.

use super::*;

fn deleting(tenants: &[&str]) -> v1::Delta {
    v1::Delta {
        delete_tenants: tenants.iter().map(|name| (*name).to_owned()).collect(),
        ..v1::Delta::default()
    }
}

/// Seed defect 1: the policy was stored before its resources, and a failure left the tenant registered.
#[test]
fn seed_1_a_failing_object_in_the_middle_registers_nothing() {
    let before = policy(&[tenant("red", 16, "")]);
    let objects = [
        tenant("blue", 17, ""),
        workload("blue-web", "blue", "10.0.0.1", ""),
        rule("blue-in", "tenant: green", "tenant: blue", ""),
        binding("10.0.0.2", "tenant: blue", 1),
    ];
    for broken in 0..objects.len() {
        let mut documents = objects.to_vec();
        documents[broken] = documents[broken].replace("spec:", "specs:");
        let kept = before.clone();
        assert!(add(&before, &documents).is_err());
        assert_eq!(before, kept);
        assert!(!before.tenants.contains_key("blue"));
    }
}

#[test]
fn duplicate_names_in_one_push_are_refused_with_both_lines() {
    let problems = add(&Policy::default(), &[tenant("red", 16, ""), tenant("red", 17, "")]).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!((problem.code, problem.path.as_str()), ("duplicate_name", "tenants[red]"));
    assert_eq!(problem.line, Some(6));
    assert!(problem.message.contains("line 1"), "{}", problem.message);
    let tenant = v1::Tenant {
        name: "red".to_owned(),
        id: 16,
        tier: 1,
        data_classification: 1,
        mode: 1,
        ..Default::default()
    };
    let twice = v1::Snapshot { tenants: vec![tenant.clone(), tenant], ..v1::Snapshot::default() };
    assert_refused(
        apply(&Policy::default(), &Change::Snapshot(twice), NOW),
        "duplicate_name",
        "tenants[red]",
    );
}

#[test]
fn two_tenants_cannot_have_one_id() {
    let outcome = add(&Policy::default(), &[tenant("red", 16, ""), tenant("blue", 16, "")]);
    assert_refused(outcome, "id_taken", "tenants[blue].id");
}

#[test]
fn a_reused_id_is_refused_also_in_the_change_that_frees_it() {
    let first = policy(&[tenant("red", 16, "")]);
    let second = delta(&first, deleting(&["red"])).unwrap().policy;
    assert!(second.tenants.is_empty());
    assert_refused(add(&second, &[tenant("blue", 16, "")]), "id_reused", "tenants[blue].id");
    assert_refused(put(&first, &[tenant("blue", 16, "")], true), "id_reused", "tenants[blue].id");
}

#[test]
fn a_tenant_that_returns_may_have_its_own_id_again() {
    let first = policy(&[tenant("red", 16, "")]);
    let second = delta(&first, deleting(&["red"])).unwrap().policy;
    let third = add(&second, &[tenant("red", 16, "")]).unwrap().policy;
    assert_eq!(third, first);
}

#[test]
fn a_living_tenant_keeps_its_id() {
    let before = policy(&[tenant("red", 16, "")]);
    assert_refused(add(&before, &[tenant("red", 17, "")]), "tenant_id_changed", "tenants[red].id");
}

#[test]
fn retired_ids_travel_with_a_snapshot_and_must_agree() {
    let retired = |name: &str| v1::Snapshot {
        retired_ids: vec![v1::RetiredId { id: 16, name: name.to_owned() }],
        ..v1::Snapshot::default()
    };
    let empty = Policy::default();
    let known = apply(&empty, &Change::Snapshot(retired("red")), NOW).unwrap().policy;
    assert_refused(add(&known, &[tenant("blue", 16, "")]), "id_reused", "tenants[blue].id");
    assert_refused(
        apply(&known, &Change::Snapshot(retired("blue")), NOW),
        "retired_id_disagrees",
        "retiredIds[16]",
    );
}

#[test]
fn a_tenant_that_is_still_mentioned_cannot_be_deleted() {
    let before = policy(&[
        tenant("red", 16, ""),
        tenant("blue", 17, ""),
        workload("web", "red", "10.0.0.1", ""),
        rule("in", "tenant: red", "tenant: blue", ""),
        binding("10.0.0.2", "tenant: blue", 1),
    ]);
    let found = refused(delta(&before, deleting(&["red", "blue"])));
    assert_eq!(
        found,
        [("tenant_in_use", "tenants[blue]".to_owned()), ("tenant_in_use", "tenants[red]".to_owned()),]
    );
    let all = v1::Delta {
        delete_workloads: vec!["web".to_owned()],
        delete_rules: vec!["in".to_owned()],
        delete_bindings: vec![v1::BindingRef { address: "10.0.0.2".to_owned(), generation: 1 }],
        ..deleting(&["red", "blue"])
    };
    let after = delta(&before, all).unwrap().policy;
    assert!(after.tenants.is_empty() && after.workloads.is_empty() && after.bindings.is_empty());
}

#[test]
fn a_snapshot_that_forgets_a_tenant_but_not_its_workload_is_refused() {
    let before = policy(&[tenant("red", 16, ""), workload("web", "red", "10.0.0.1", "")]);
    assert_refused(
        put(&before, &[workload("web", "red", "10.0.0.1", "")], true),
        "tenant_in_use",
        "tenants[red]",
    );
}

#[test]
fn unknown_tenants_are_named_wherever_they_are_mentioned() {
    let found = refused(add(
        &Policy::default(),
        &[
            workload("web", "ghost", "10.0.0.1", ""),
            rule("in", "tenant: ghost", "tenant: spook", ""),
            binding("10.0.0.2", "tenant: ghost", 1),
        ],
    ));
    let paths: Vec<&str> = found.iter().map(|(_, path)| path.as_str()).collect();
    assert!(found.iter().all(|(code, _)| *code == "unknown_tenant"));
    assert_eq!(
        paths,
        [
            "workloads[web].tenant",
            "rules[in].from.tenant",
            "rules[in].to.tenant",
            "bindings[10.0.0.2].tenant"
        ]
    );
}

#[test]
fn a_tenant_that_is_spelled_wrongly_is_not_unknown_besides() {
    let found = refused(add(
        &Policy::default(),
        &[
            tenant("red", 16, ", colour: red"),
            tenant("blue", 5, ""),
            workload("web", "red", "10.0.0.1", ""),
            workload("db", "blue", "10.0.0.2", ""),
        ],
    ));
    assert_eq!(found.iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["unknown_field", "id_out_of_range"]);
}

#[test]
fn every_error_of_every_kind_is_reported_at_once() {
    let found = refused(add(
        &Policy::default(),
        &[
            tenant("red", 16, ", colour: red"),
            tenant("blue", 17, ", egress: [{ipBlock: {cidr: 10.0.0.1/8}}]"),
            rule("in", "tenant: ghost", "tenant: blue", ""),
            "kind: [".to_owned(),
        ],
    ));
    let codes: Vec<&str> = found.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, ["unknown_field", "cidr_host_bits", "unknown_tenant", "malformed_yaml"]);
}

#[test]
fn deleting_and_putting_one_name_is_refused_and_deleting_nothing_is_said() {
    let before = policy(&[tenant("red", 16, "")]);
    let both = v1::Delta { upsert: Some(crate::policy::wire::snapshot(&before)), ..deleting(&["red"]) };
    assert_refused(delta(&before, both), "deleted_and_put", "deleteTenants[red]");
    let changed = delta(&before, deleting(&["ghost"])).unwrap();
    assert_eq!(changed.policy, before);
    assert!(changed.warnings[0].contains("deleteTenants[ghost]"), "{:?}", changed.warnings);
}
