//! What is left in plaintext is said, all of it.

use std::net::IpAddr;

use enforcer_core::policy::model::{Action, Holder, Mode, Peer, Policy, Rule, Tier};
use enforcer_core::policy::oracle::{Answer, Flow, verdict};
use enforcer_core::proxy::unencrypted::unencrypted;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::build::{Objects, block, egress, of, rule, tcp, tenant};
use crate::support::generate::{facts, flow, objects};

fn told(objects: &Objects, name: &str) -> Vec<String> {
    let told = unencrypted(&objects.policy());
    told.into_iter().find(|(tenant, _)| &**tenant == name).map(|(_, what)| what).unwrap_or_default()
}

fn two() -> Objects {
    let tenants = vec![tenant("red", 16, Tier::Shared), tenant("blue", 17, Tier::Shared)];
    Objects { tenants, ..Objects::default() }
}

const INSIDE: &str = "inside the tenant, by default: every protocol and port";

#[test]
fn the_default_inside_is_plaintext_until_a_rule_asks_for_more() {
    assert_eq!(told(&two(), "red"), [INSIDE]);
    let mtls = Rule { mtls_required: true, ..rule("r2", of("red"), of("red"), Action::Allow) };
    let all = two().with_rule(mtls.clone());
    assert_eq!(told(&all, "red"), [""; 0]);
    let deny = Rule { ports: Some(tcp(22, 22)), ..rule("r1", of("red"), of("red"), Action::Deny) };
    let some = two().with_rule(deny).with_rule(Rule { ports: Some(tcp(5432, 5433)), ..mtls });
    let sentence = format!(
        "{INSIDE}, but not TCP 22 (rule r1 denies it), but not TCP 5432-5433 (rule r2 asks for mutual TLS); \
         the tunnel carries TCP, and no UDP, SCTP or ICMP"
    );
    assert_eq!(told(&some, "red"), [sentence.as_str()]);
    let back = some
        .with_rule(Rule { ports: Some(tcp(5433, 5433)), ..rule("r3", of("red"), of("red"), Action::Allow) });
    assert_eq!(told(&back, "red"), [sentence.as_str(), "rule r3: inside the tenant, TCP 5433"]);
}

#[test]
fn a_rule_without_mutual_tls_is_told_to_both_sides() {
    let http = Rule { ports: Some(tcp(80, 80)), ..rule("r1", of("red"), of("blue"), Action::Allow) };
    let objects = two().with_rule(http.clone());
    assert_eq!(told(&objects, "red"), [INSIDE, "rule r1: to tenant blue, TCP 80"]);
    assert_eq!(told(&objects, "blue"), [INSIDE, "rule r1: from tenant red, TCP 80"]);
    for silent in [
        Rule { mtls_required: true, ..http.clone() },
        Rule { mode: Mode::Audit, ..http.clone() },
        Rule { action: Action::Deny, ..http.clone() },
        Rule { from: Peer::Host, ..http.clone() },
    ] {
        assert_eq!(told(&two().with_rule(silent), "blue"), [INSIDE]);
    }
    let denied = |first, last| {
        let deny = Rule { ports: Some(tcp(first, last)), ..rule("r2", of("red"), of("blue"), Action::Deny) };
        told(&two().with_rule(Rule { ports: Some(tcp(80, 90)), ..http.clone() }).with_rule(deny), "blue")
    };
    assert_eq!(denied(80, 90), [INSIDE]);
    assert_eq!(denied(1, 80), [INSIDE, "rule r1: from tenant red, TCP 80-90, less what r2 denies"]);
    assert_eq!(denied(91, 91), [INSIDE, "rule r1: from tenant red, TCP 80-90"]);
}

#[test]
fn nodes_the_world_and_egress_have_no_tunnel() {
    let mut objects = two()
        .with_rule(rule("r1", of("red"), Peer::RemoteNode, Action::Allow))
        .with_rule(rule(
            "r2",
            Peer::Block(block("192.0.2.0/24", &["192.0.2.128/25"])),
            of("red"),
            Action::Allow,
        ))
        .with_rule(rule("r3", of("red"), Peer::World, Action::Allow));
    objects.tenants[0].egress = vec![egress("10.0.0.0/8", &[], Some(tcp(443, 443)))];
    assert_eq!(
        told(&objects, "red"),
        [
            INSIDE,
            "egress: to 10.0.0.0/8, TCP 443",
            "rule r1: to other nodes, every protocol and port",
            "rule r2: from 192.0.2.0/24 less 192.0.2.128/25, every protocol and port",
            "rule r3: to the world, every protocol and port",
        ]
    );
}

#[test]
fn the_tier_and_the_mode_have_their_say() {
    let plain = rule("r1", of("red"), of("blue"), Action::Allow);
    let at = |tier| {
        let mut objects = two().with_rule(plain.clone());
        objects.tenants[0].tier = tier;
        told(&objects, "blue").len()
    };
    assert_eq!([Tier::Shared, Tier::Partitioned, Tier::Isolated, Tier::Dedicated].map(at), [2, 2, 1, 1]);
    let mut audit = two();
    audit.tenants[0].mode = Mode::Audit;
    assert!(told(&audit, "red")[0].contains("audit mode"));
}

#[test]
fn sentences_are_bounded() {
    let rules = (0..100).map(|n| rule(&format!("r{n}"), of("red"), of("blue"), Action::Allow));
    let objects = rules.fold(two(), Objects::with_rule);
    let told = told(&objects, "red");
    assert_eq!((told.len(), told.last().unwrap().as_str()), (65, "and 37 more"));
}

/// The tenants at the ends of a flow, as far as the addresses of this generator say.
fn tenants(policy: &Policy, address: IpAddr) -> Option<String> {
    match policy.index.holder.get(&address)? {
        Holder::Workload(name) => Some(policy.workloads[name].tenant.to_string()),
        Holder::Binding => match &policy.bindings[&address].bound {
            enforcer_core::policy::model::Bound::Tenant(name) => Some(name.to_string()),
            _ => None,
        },
    }
}

/// Some sentence about each tenant at an end accounts for a flow that the policy lets pass as it is.
fn is_told(policy: &Policy, flow: &Flow, answer: Answer, rule: &str) -> bool {
    let sentences = unencrypted(policy);
    let ends = [flow.from, flow.to].map(|address| tenants(policy, address));
    let owner = ends[1].clone().or_else(|| ends[0].clone());
    let accounts = |sentence: &str| match (answer, rule) {
        (Answer::Audit, _) => sentence.contains("audit mode"),
        (_, "intra-tenant") => sentence.starts_with(INSIDE),
        (_, "tenant-egress") => sentence.starts_with("egress"),
        (_, rule) => {
            sentence.starts_with(&format!("rule {rule}:"))
                || sentence.starts_with(INSIDE) && ends[0] == ends[1]
        }
    };
    // Of what an audit lets pass, the tenant is told whose rules refuse it.
    let concerned = |tenant: &&String| answer != Answer::Audit || owner.as_ref() == Some(*tenant);
    ends.iter().flatten().filter(concerned).all(|tenant| {
        let about = sentences.iter().find(|(name, _)| **name == **tenant).map(|(_, about)| about);
        about.into_iter().flatten().any(|sentence| accounts(sentence))
    })
}

/// Between two workloads of this node, or what is of no tenant; and the connection that carries flows is encrypted.
fn is_no_subject(policy: &Policy, flow: &Flow, rule: &str) -> bool {
    let is_here = |address: &IpAddr| match policy.index.holder.get(address) {
        Some(Holder::Workload(name)) => {
            policy.workloads[name].node.as_deref().is_none_or(|node| node == "n1")
        }
        Some(Holder::Binding) | None => false,
    };
    let about_this_node =
        |rule: &std::sync::Arc<Rule>| [&rule.from, &rule.to].into_iter().any(|peer| *peer == Peer::Host);
    [flow.from, flow.to].iter().all(is_here)
        || ["host-default", "not-managed", "tunnel"].contains(&rule)
        || policy.rules.get(rule).is_some_and(about_this_node)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_passes_in_plaintext_goes_unsaid(objects in objects(), flows in vec(flow(), 60)) {
        let policy = objects.policy();
        let facts = facts(&policy);
        for flow in &flows {
            let said = verdict(&policy, &facts, flow);
            if said.answer == Answer::Deny || is_no_subject(&policy, flow, &said.rule) {
                continue;
            }
            prop_assert!(is_told(&policy, flow, said.answer, &said.rule), "{:?} {:?}", flow, said);
        }
    }
}
