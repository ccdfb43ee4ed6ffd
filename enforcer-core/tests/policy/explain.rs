//! `explain`: the right parties, the kernel's own verdict, and words that fit it.

use enforcer_core::node::NodeFacts;
use enforcer_core::policy::explain::{ExplainError, Explanation, FlowRequest, explain_flow};
use enforcer_core::policy::model::{Action, Bound, Mode, Policy, Protocol, Rule, Tier};

use crate::support::build::{Objects, binding, of, rule, tcp, tenant, workload};
use crate::support::generate::{NOW, facts};

fn scene() -> (Policy, NodeFacts) {
    let web = Rule { ports: Some(tcp(443, 443)), ..rule("r1", of("red"), of("blue"), Action::Allow) };
    let trial = Rule { mode: Mode::Audit, ..rule("r2", of("red"), of("blue"), Action::Deny) };
    let mut objects = Objects {
        tenants: vec![tenant("red", 16, Tier::Shared), tenant("blue", 17, Tier::Partitioned)],
        workloads: vec![
            workload("w1", "red", &["172.16.0.1", "fd00::1"]),
            workload("w2", "blue", &["fd00::2", "172.16.0.2"]),
            workload("w3", "blue", &["fd00::3"]),
        ],
        bindings: vec![binding("172.17.0.1", Bound::Tenant("red".into()))],
        rules: vec![web, trial],
    };
    objects.workloads[2].node = Some("n2".into());
    let policy = objects.policy();
    let facts = facts(&policy);
    (policy, facts)
}

fn explained(
    source: &str,
    destination: &str,
    protocol: Protocol,
    service: u8,
) -> Result<Explanation, ExplainError> {
    let (policy, facts) = scene();
    let icmp = matches!(protocol, Protocol::Icmp | Protocol::Icmpv6);
    let request = FlowRequest {
        source: source.to_owned(),
        destination: destination.to_owned(),
        protocol,
        port: (!icmp).then_some(u16::from(service) + 300),
        icmp_type: icmp.then_some(service),
        now: NOW,
    };
    explain_flow(&policy, &facts, &request)
}

fn web(source: &str, destination: &str) -> Explanation {
    explained(source, destination, Protocol::Tcp, 143).unwrap()
}

#[test]
fn workloads_tenants_and_addresses_are_one_party() {
    for source in ["w1", "red", "172.17.0.1", "172.16.0.1"] {
        for destination in ["w2", "blue", "172.16.0.2"] {
            let found = web(source, destination);
            let summary = (found.verdict, found.rule.as_str(), found.reason);
            assert_eq!(summary, ("allow", "r1", "none"), "{source} to {destination}");
            assert_eq!(
                (found.source_identity.as_str(), found.destination_identity.as_str()),
                ("red", "blue")
            );
            assert_eq!(found.shadow, Some(("r2".to_owned(), "deny")));
        }
    }
}

#[test]
fn the_steps_name_parties_owner_rule_and_shadow() {
    let steps = web("w1", "w2").steps.join("\n");
    for words in [
        "workload w1 of tenant red",
        "interface 100",
        "tenant blue decide",
        "rule r1 allows",
        "rule r2 is in audit",
    ] {
        assert!(steps.contains(words), "{words:?} is not in:\n{steps}");
    }
    let refused = web("w2", "w1");
    assert_eq!((refused.verdict, refused.reason), ("deny", "cross_tenant_no_rule"));
    assert!(!refused.reason_text.is_empty());
    assert!(refused.steps.last().unwrap().contains(refused.reason_text));
}

#[test]
fn reserved_identities_have_their_names() {
    let found = web("w1", "8.8.8.8");
    assert_eq!((found.destination_identity.as_str(), found.reason), ("world", "destination_unbound"));
    let found = web("host", "w1");
    assert_eq!((found.source_identity.as_str(), found.rule.as_str()), ("host", "host-default"));
    let found = web("8.8.8.8", "1.1.1.1");
    assert_eq!((found.verdict, found.rule.as_str()), ("allow", "not-managed"));
}

#[test]
fn a_packet_is_offered_as_proof_where_a_program_can_be_asked() {
    let proof = web("w1", "w2").proof.unwrap();
    assert_eq!((proof.from_interface, proof.to_interface), (Some(100), Some(101)));
    assert_eq!(&proof.frame[26..34], [172, 16, 0, 1, 172, 16, 0, 2]);
    assert!(web("red", "w2").proof.is_err(), "a tenant as such has no address");
    assert!(web("172.17.0.1", "8.8.8.8").proof.is_err(), "no interface of this node");
    let away = web("w1", "w3").proof.unwrap();
    assert_eq!((away.from_interface, away.to_interface), (Some(100), None));
}

#[test]
fn icmp_follows_its_own_family_and_its_errors_no_rule() {
    let echo = explained("w1", "w2", Protocol::Icmpv6, 128).unwrap();
    assert_eq!(&echo.proof.unwrap().frame[12..14], [0x86, 0xdd]);
    let error = explained("w1", "w2", Protocol::Icmp, 3).unwrap();
    assert_eq!((error.verdict, error.reason), ("deny", "icmp_error_unrelated"));
    let solicitation = explained("w1", "w2", Protocol::Icmpv6, 135).unwrap();
    assert_eq!(solicitation.verdict, "allow");
    assert!(matches!(explained("w1", "w3", Protocol::Icmp, 8), Err(ExplainError::Family(..))));
}

#[test]
fn a_request_that_says_too_little_is_told_what_is_missing() {
    let (policy, facts) = scene();
    let request = FlowRequest {
        source: "w1".to_owned(),
        destination: "w2".to_owned(),
        protocol: Protocol::Udp,
        port: None,
        icmp_type: None,
        now: NOW,
    };
    assert_eq!(explain_flow(&policy, &facts, &request), Err(ExplainError::PortMissing("UDP")));
    let icmp = FlowRequest { protocol: Protocol::Icmp, ..request.clone() };
    assert_eq!(explain_flow(&policy, &facts, &icmp), Err(ExplainError::TypeMissing("ICMP")));
    let stranger = FlowRequest { source: "nobody".to_owned(), port: Some(1), ..request };
    let expected = ExplainError::UnknownParty("nobody".to_owned());
    assert_eq!(explain_flow(&policy, &facts, &stranger), Err(expected));
}
