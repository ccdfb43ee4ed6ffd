//! What `get -o yaml` prints says to the policy parser exactly what the agent said to us.

use enforcer_core::policy::parse::yaml;
use enforcer_proto::v1;
use proptest::prelude::*;

use super::enforcerctl;
use super::fake::{Agent, Answers};
use super::getting::{self, everything, peer};
use crate::document;
use crate::exit::Exit;

const NOW: prost_types::Timestamp = prost_types::Timestamp { seconds: 1_793_700_000, nanos: 1 };

/// What the parser understands of a printed policy.
fn read_back(text: &str) -> v1::Snapshot {
    match yaml::documents(&[("printed", text)]) {
        Ok(parsed) => parsed.snapshot().clone(),
        Err(problems) => panic!("{problems:#?} in\n{text}"),
    }
}

#[tokio::test]
async fn a_printed_policy_is_read_as_the_policy_it_was() {
    let ran = getting::agent().run(&["get", "policy", "-o", "yaml"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(read_back(&ran.out), getting::snapshot());
}

#[tokio::test]
async fn a_printed_policy_is_valid_offline() {
    let ran = getting::agent().run(&["get", "tenants", "-o", "yaml"]).await;
    let checked = enforcerctl(&["validate", "--offline", "-f", "-"], &ran.out).await;
    assert_eq!(checked.exit, Exit::Ok, "{}{}", checked.out, checked.err);
    assert_eq!(checked.err, "valid: 2 to add, 0 to change, 0 to remove\n");
}

#[tokio::test]
async fn offline_every_problem_has_its_file_and_line() {
    let text =
        "apiVersion: enforcer.dev/v1\nkind: Tenant\nmetadata: {name: a}\nspec:\n  id: 3\n  tier: high\n";
    let ran = enforcerctl(&["validate", "--offline", "-f", "-"], text).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.out.lines().count() >= 2, "{}", ran.out);
    assert!(ran.out.contains("stdin:6: tenants[a]"), "{}", ran.out);
    for line in ran.out.lines() {
        assert!(line.starts_with("stdin:"), "{line}");
    }
}

fn binding(until: Option<prost_types::Timestamp>) -> v1::Snapshot {
    let binding = v1::Binding {
        address: "10.0.0.9".to_owned(),
        holder: Some(v1::binding::Holder::Host(everything())),
        generation: 3,
        lease: None,
        lease_until: until,
    };
    v1::Snapshot { bindings: vec![binding], ..v1::Snapshot::default() }
}

fn printed(snapshot: v1::Snapshot) -> String {
    document::stream(&document::of_snapshot(snapshot).unwrap(), &NOW).unwrap()
}

#[test]
fn a_lease_is_printed_as_what_is_left_of_it() {
    let until = prost_types::Timestamp { seconds: NOW.seconds + 90, nanos: 0 };
    let read = read_back(&printed(binding(Some(until))));
    let lease = read.bindings.first().and_then(|binding| binding.lease);
    assert_eq!(lease, Some(prost_types::Duration { seconds: 89, nanos: 0 }));
}

#[test]
fn a_lease_that_has_run_out_is_not_renewed_by_printing_it() {
    let text = printed(binding(Some(NOW)));
    assert!(text.lines().all(|line| line.starts_with('#')), "{text}");
    assert!(text.contains("10.0.0.9"), "{text}");
}

#[tokio::test]
async fn programs_are_told_when_a_lease_ends() {
    let snapshot = Some(binding(Some(NOW)));
    let get = Some(Ok(v1::GetResponse { revision: 1, snapshot, digest: Vec::new() }));
    let agent = Agent::start(Answers { get, ..Answers::default() });
    let ran = agent.run(&["get", "bindings", "-o", "json"]).await;
    assert_eq!(ran.json()["items"][0]["spec"]["leaseUntil"], "2026-11-03T10:00:00.000000001Z");
}

/// Names that a YAML reader could take for something else, and ordinary ones.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("no".to_owned()),
        Just("on".to_owned()),
        Just("y".to_owned()),
        "[0-9]{1,4}",
        "0[0-9]{1,3}",
        "0x[0-9a-f]{1,3}",
        "0o[0-7]{1,3}",
        "[1-9]e[0-9]{1,2}",
        "[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?",
    ]
}

/// Text that is free: paths, interfaces, classes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![name(), "/[ -~]{1,20}", "[!-~]{1,12}"]
}

fn port() -> impl Strategy<Value = v1::Port> {
    let optional = || proptest::option::of(0_u32..70_000);
    (1_i32..=5, optional(), optional(), optional(), optional()).prop_map(
        |(protocol, port, end_port, icmp_type, icmp_code)| v1::Port {
            protocol,
            port,
            end_port,
            icmp_type,
            icmp_code,
        },
    )
}

prop_compose! {
    fn workload()(
        name in name(), tenant in name(), node in proptest::option::of(name()),
        cgroup in proptest::option::of(text()), interface in proptest::option::of(text()),
        host_network: bool, namespace in prop_oneof![Just(String::new()), name()],
        encapsulations in proptest::collection::vec(1_i32..=3, 0..3),
    ) -> v1::Workload {
        v1::Workload {
            name, tenant, node, cgroup, interface, host_network, namespace, encapsulations,
            ..v1::Workload::default()
        }
    }
}

prop_compose! {
    fn rule()(
        name in name(), from in name(), mode in 1_i32..=2, action in 1_i32..=2, mtls_required: bool,
        mtls_always: bool,
        ports in proptest::option::of(proptest::collection::vec(port(), 1..4)),
        carried_by in proptest::collection::vec(name(), 0..3),
    ) -> v1::Rule {
        v1::Rule {
            name, mode, action, mtls_required, mtls_always, carried_by,
            from: peer(v1::peer::Who::Tenant(from)), to: peer(v1::peer::Who::World(everything())),
            ports: ports.map(|items| v1::PortList { items }),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Also where a value is wrong as policy: printing must not mend or bend it.
    #[test]
    fn printing_and_reading_changes_nothing(workload in workload(), rule in rule()) {
        let snapshot = v1::Snapshot {
            workloads: vec![workload],
            rules: vec![rule],
            ..v1::Snapshot::default()
        };
        let text = printed(snapshot.clone());
        let read = yaml::read(&[("printed", text.as_str())]);
        prop_assert_eq!(read.snapshot(), &snapshot, "{}", text);
    }
}
