//! What a node cannot enforce is refused, by name.

use std::sync::Arc;

use super::*;
use crate::device::table::DeviceTable;
use crate::node::Capabilities;
use crate::policy::change::{Change, apply};
use crate::policy::parse::yaml;

const HEAD: &str = "apiVersion: enforcer.dev/v1\n";

fn policy(specs: &[(&str, &str, &str)]) -> Policy {
    let documents: Vec<String> = specs
        .iter()
        .map(|(kind, name, spec)| {
            format!("{HEAD}kind: {kind}\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n")
        })
        .collect();
    let documents = yaml::read(&[("test.yaml", documents.join("---\n"))]);
    apply(&Policy::default(), &Change::Documents { documents, prune: true }, 0).unwrap().policy
}

fn facts(capabilities: Capabilities) -> NodeFacts {
    NodeFacts {
        name: "n1".to_owned(),
        devices: Arc::new(DeviceTable::default()),
        capabilities,
        tag_limit: 0xffff,
        ..NodeFacts::default()
    }
}

fn refused(policy: &Policy, facts: &NodeFacts) -> Vec<(&'static str, String)> {
    let problems = check_capabilities(&Policy::default(), policy, facts);
    problems.into_iter().map(|problem| (problem.code, problem.path)).collect()
}

const PLAIN: &str = "tier: shared, dataClassification: public";

#[test]
fn tiers_grants_mtls_and_host_network_need_what_enforces_them() {
    let policy = policy(&[
        ("Tenant", "iso", "id: 16, tier: isolated, dataClassification: public"),
        (
            "Tenant",
            "ded",
            "id: 17, tier: dedicated, dataClassification: public, devices: [{class: nvidiactl}]",
        ),
        ("Tenant", "red", "id: 18, tier: shared, dataClassification: public, platformService: true"),
        ("Workload", "agent", "tenant: red, hostNetwork: true, cgroup: /a"),
        ("Workload", "web", "tenant: red, interface: veth0, addresses: [10.0.0.1]"),
        ("Rule", "r", "from: {tenant: iso}, to: {tenant: red}, action: allow, mtlsRequired: true"),
    ]);
    assert_eq!(refused(&policy, &facts(Capabilities::all())), []);
    let absent = |path: &str| ("capability_absent", path.to_owned());
    assert_eq!(
        refused(&policy, &facts(Capabilities::default())),
        [
            absent("tenants[ded].tier"),
            absent("tenants[ded].devices"),
            absent("tenants[iso].tier"),
            absent("workloads[agent].hostNetwork"),
            absent("workloads[web]"),
            absent("rules[r].mtlsRequired"),
        ]
    );
}

#[test]
fn the_reason_of_an_absent_capability_is_told() {
    let policy = policy(&[("Tenant", "iso", "id: 16, tier: isolated, dataClassification: public")]);
    let capabilities = Capabilities {
        device_handles: Capability::Absent("the kernel runs no BPF LSM".to_owned()),
        ..Capabilities::all()
    };
    let problems = check_capabilities(&Policy::default(), &policy, &facts(capabilities));
    assert!(problems[0].message.ends_with("the kernel runs no BPF LSM"), "{}", problems[0].message);
}

#[test]
fn only_what_changes_is_judged() {
    let policy = policy(&[("Tenant", "iso", "id: 16, tier: isolated, dataClassification: public")]);
    assert!(check_capabilities(&policy, &policy, &facts(Capabilities::default())).is_empty());
}

#[test]
fn a_number_beyond_the_tag_and_an_unknown_class_are_refused() {
    let policy = policy(&[(
        "Tenant",
        "red",
        "id: 65536, tier: shared, dataClassification: public, devices: [{class: toaster}]",
    )]);
    assert_eq!(
        refused(&policy, &facts(Capabilities::all())),
        [
            ("id_beyond_tag", "tenants[red].id".to_owned()),
            ("device_class_unknown", "tenants[red].devices[0].class".to_owned()),
        ]
    );
}

#[test]
fn naming_this_node_and_naming_none_is_the_same_node() {
    let dedicated = "id: 16, tier: dedicated, dataClassification: public";
    let red = format!("id: 17, {PLAIN}");
    let policy = policy(&[
        ("Tenant", "ded", dedicated),
        ("Tenant", "red", &red),
        ("Workload", "a", "tenant: ded, cgroup: /a, addresses: [10.0.0.1]"),
        ("Workload", "b", "tenant: red, node: n1, cgroup: /a, addresses: [10.0.0.2]"),
        ("Workload", "c", "tenant: red, node: n1, addresses: [10.0.0.3]"),
        ("Workload", "d", "tenant: red, node: n2, addresses: [10.0.0.4]"),
    ]);
    let found = refused(&policy, &facts(Capabilities::all()));
    assert!(found.contains(&("dedicated_node_is_taken", "tenants[red]".to_owned())), "{found:?}");
    assert!(found.contains(&("place_taken", "workloads[a]".to_owned())), "{found:?}");
    assert!(found.contains(&("workload_without_place", "workloads[c]".to_owned())), "{found:?}");
    assert!(!found.iter().any(|(_, path)| path == "workloads[d]"), "{found:?}");
}
