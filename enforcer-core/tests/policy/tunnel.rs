//! Rules that ask for mutual TLS: what they allow as it is, what they leave to the tunnel, and the connection that
//! carries it. Every verdict is the tables' and the reference evaluator's.

use std::net::{Ipv4Addr, Ipv6Addr};

use enforcer_common::maps::{
    CGROUP_HOST_NETWORK, CGROUP_TUNNEL, INTERFACE_TUNNEL, PEER_EGRESS, RULE_TUNNEL, TUNNEL_PORT,
};
use enforcer_common::{address, identity};
use enforcer_core::node::{Attachment, NodeFacts, TunnelEnd};
use enforcer_core::policy::carriage::Carriage;
use enforcer_core::policy::compile::{asks_for_tunnel, compile, warnings};
use enforcer_core::policy::explain::{Explanation, FlowRequest, explain_flow};
use enforcer_core::policy::model::{Action, Bound, Mode, Peer, Policy, Protocol, Rule, Tier};
use enforcer_core::policy::oracle::{Answer, Flow, OracleVerdict};
use enforcer_core::policy::tables::entries;

use crate::support::ask::{asked, tcp};
use crate::support::build::{self, FIRST_RULE_NUMBER, Objects, binding, of, rule, tenant, workload};
use crate::support::generate::{NOW, facts};

const RED: &str = "172.16.0.1";
const BLUE: &str = "172.16.0.2";
const RED_AWAY: &str = "172.16.0.3";
const BLUE_AWAY: &str = "172.16.0.4";
const BLUE_BOUND: &str = "172.17.0.1";
const OTHER_NODE: &str = "172.17.0.9";
const NODE: &str = "172.18.0.1";

fn objects(rules: Vec<Rule>) -> Objects {
    let mut objects = Objects {
        tenants: vec![tenant("red", 16, Tier::Shared), tenant("blue", 17, Tier::Shared)],
        workloads: vec![
            workload("w1", "red", &[RED]),
            workload("w2", "blue", &[BLUE]),
            workload("w3", "red", &[RED_AWAY]),
            workload("w4", "blue", &[BLUE_AWAY]),
        ],
        bindings: vec![
            binding(BLUE_BOUND, Bound::Tenant("blue".into())),
            binding(OTHER_NODE, Bound::RemoteNode),
        ],
        rules,
    };
    for away in &mut objects.workloads[2..] {
        away.node = Some("n2".into());
    }
    objects
}

fn red_to_blue(name: &str) -> Rule {
    rule(name, of("red"), of("blue"), Action::Allow)
}

fn mtls(rule: Rule) -> Rule {
    Rule { mtls_required: true, ..rule }
}

fn always(rule: Rule) -> Rule {
    Rule { mtls_always: true, ..mtls(rule) }
}

fn ports(rule: Rule, first: u16, last: u16) -> Rule {
    Rule { ports: Some(build::tcp(first, last)), ..rule }
}

fn verdict(objects: &Objects, flow: &Flow) -> OracleVerdict {
    let policy = objects.policy();
    asked(&policy, &facts(&policy), flow)
}

#[track_caller]
fn found(objects: &Objects, flow: &Flow, answer: Answer, rule: &str, reason: &str) -> OracleVerdict {
    let verdict = verdict(objects, flow);
    assert_eq!((verdict.answer, verdict.rule.as_str(), verdict.reason), (answer, rule, reason), "{flow:?}");
    verdict
}

/// Without the tunnel's help.
#[track_caller]
fn says(objects: &Objects, flow: &Flow, answer: Answer, rule: &str, reason: &str) {
    assert!(!found(objects, flow, answer, rule, reason).tunnel);
}

#[track_caller]
fn allows(objects: &Objects, flow: &Flow, rule: &str) {
    says(objects, flow, Answer::Allow, rule, "none");
}

/// Plaintext is refused: the tunnel carries it.
#[track_caller]
fn tunnels(objects: &Objects, flow: &Flow, rule: &str) {
    assert!(found(objects, flow, Answer::Deny, rule, "mtls_required").tunnel);
}

#[test]
fn between_nodes_plaintext_is_refused_and_on_one_node_allowed_as_it_is() {
    let objects = objects(vec![mtls(red_to_blue("r1"))]);
    allows(&objects, &tcp(RED, BLUE, 443), "r1");
    for (from, to) in [(RED, BLUE_AWAY), (RED_AWAY, BLUE), (RED_AWAY, BLUE_AWAY), (RED, BLUE_BOUND)] {
        tunnels(&objects, &tcp(from, to, 443), "r1");
    }
    says(&objects, &tcp(BLUE, RED, 443), Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
}

#[test]
fn always_means_on_one_node_too() {
    let objects = objects(vec![always(red_to_blue("r1"))]);
    tunnels(&objects, &tcp(RED, BLUE, 443), "r1");
    tunnels(&objects, &tcp(RED, BLUE_AWAY, 443), "r1");
}

#[test]
fn what_tcp_cannot_carry_is_refused_between_nodes() {
    let objects = objects(vec![mtls(red_to_blue("r1"))]);
    for protocol in [17, 132, 1, 47] {
        let flow = |to| Flow { protocol, ..tcp(RED, to, 53) };
        allows(&objects, &flow(BLUE), "r1");
        tunnels(&objects, &flow(BLUE_AWAY), "r1");
    }
}

#[test]
fn a_tenant_can_ask_for_it_inside() {
    let inside = ports(rule("r1", of("red"), of("red"), Action::Allow), 80, 80);
    let objects = objects(vec![mtls(inside)]);
    tunnels(&objects, &tcp(RED, RED_AWAY, 80), "r1");
    allows(&objects, &tcp(RED, RED_AWAY, 81), "intra-tenant");
    allows(&objects, &tcp(RED, RED_AWAY, TUNNEL_PORT), "tunnel");
}

#[test]
fn an_isolated_tenant_gets_the_tunnel_once_both_carry_the_rule() {
    let mut objects = objects(vec![red_to_blue("r1")]);
    objects.tenants[1].tier = Tier::Isolated;
    says(&objects, &tcp(RED, BLUE_AWAY, 443), Answer::Deny, "r1", "not_carried_by_both");
    says(&objects, &tcp(RED, BLUE_AWAY, TUNNEL_PORT), Answer::Deny, "r1", "not_carried_by_both");
    objects.rules[0].carried_by = vec!["red".into(), "blue".into()];
    tunnels(&objects, &tcp(RED, BLUE_AWAY, 443), "r1");
    allows(&objects, &tcp(RED, BLUE, 443), "r1");
    allows(&objects, &tcp(RED, BLUE_AWAY, TUNNEL_PORT), "tunnel");
}

#[test]
fn whoever_is_no_tenant_has_no_other_end() {
    let inward = |peer| mtls(rule("r1", peer, of("blue"), Action::Allow));
    for (peer, from) in [(Peer::Host, NODE), (Peer::RemoteNode, OTHER_NODE), (Peer::World, "8.8.8.8")] {
        let objects = objects(vec![inward(peer)]);
        says(&objects, &tcp(from, BLUE, 443), Answer::Deny, "r1", "mtls_required");
        says(&objects, &tcp(from, BLUE, TUNNEL_PORT), Answer::Deny, "r1", "mtls_required");
        assert!(!asks_for_tunnel(&objects.policy(), FIRST_RULE_NUMBER + 1));
    }
}

#[test]
fn deny_beats_allow_beats_tunnel_whatever_their_names() {
    let deny = Rule { action: Action::Deny, ..ports(red_to_blue("r1"), 80, 80) };
    let plain = ports(red_to_blue("r4"), 443, 443);
    let strict = vec![always(red_to_blue("r0")), deny, always(red_to_blue("r9"))];
    let loose = vec![mtls(ports(red_to_blue("r2"), 1, 9000)), mtls(ports(red_to_blue("r3"), 1, 9000)), plain];
    let objects = objects([strict, loose].concat());
    says(&objects, &tcp(RED, BLUE, 80), Answer::Deny, "r1", "rule_denied");
    allows(&objects, &tcp(RED, BLUE_AWAY, 443), "r4");
    allows(&objects, &tcp(RED, BLUE, 22), "r2");
    tunnels(&objects, &tcp(RED, BLUE_AWAY, 22), "r2");
    tunnels(&objects, &tcp(RED, BLUE, 9001), "r0");
}

#[test]
fn a_rule_whose_terms_are_not_met_takes_nothing_from_one_for_the_tunnel() {
    for name in ["r0", "r2"] {
        let mut objects = objects(vec![mtls(ports(red_to_blue("r1"), 443, 443)), mtls(red_to_blue(name))]);
        objects.tenants[1].tier = Tier::Isolated;
        objects.rules[0].carried_by = vec!["red".into(), "blue".into()];
        allows(&objects, &tcp(RED, BLUE, 443), "r1");
        tunnels(&objects, &tcp(RED, BLUE_AWAY, 443), "r1");
        says(&objects, &tcp(RED, BLUE_AWAY, 80), Answer::Deny, name, "not_carried_by_both");
    }
}

#[test]
fn the_carrying_connection_gets_through_whatever_the_rules_say_of_its_port() {
    let tunnel = |port| tcp(RED, BLUE_AWAY, port);
    let blocked = Rule { action: Action::Deny, ..ports(red_to_blue("r2"), 15_000, 15_100) };
    let objects = objects(vec![mtls(ports(red_to_blue("r1"), 443, 443)), blocked]);
    allows(&objects, &tunnel(TUNNEL_PORT), "tunnel");
    says(&objects, &tunnel(TUNNEL_PORT - 1), Answer::Deny, "r2", "rule_denied");
    says(&objects, &tunnel(TUNNEL_PORT + 1), Answer::Deny, "r2", "rule_denied");
    let udp = Flow { protocol: 17, ..tunnel(TUNNEL_PORT) };
    says(&objects, &udp, Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
    says(
        &objects,
        &tcp(BLUE, RED_AWAY, TUNNEL_PORT),
        Answer::Deny,
        "no-rule-matched",
        "cross_tenant_no_rule",
    );
}

#[test]
fn nothing_is_carried_where_no_tcp_service_asks_for_it() {
    let deny_tcp = |name| Rule { action: Action::Deny, ..ports(red_to_blue(name), 0, 65535) };
    let udp = build::tcp(53, 53).into_iter().map(|range| build_udp(&range)).collect();
    let udp_alone = Rule { ports: Some(udp), ..mtls(red_to_blue("r1")) };
    let in_audit = Rule { mode: Mode::Audit, ..mtls(red_to_blue("r1")) };
    for rules in [vec![udp_alone], vec![in_audit], vec![mtls(red_to_blue("r1")), deny_tcp("r2")], vec![]] {
        let objects = objects(rules);
        for from in [RED_AWAY, OTHER_NODE] {
            assert_eq!(verdict(&objects, &tcp(from, BLUE, TUNNEL_PORT)).answer, Answer::Deny, "{from}");
        }
        let policy = objects.policy();
        let image = compile(&policy, &facts(&policy));
        assert!(image.tenants.values().all(|tenant| tenant.ports.values().all(|it| it.rule != RULE_TUNNEL)));
    }
}

fn build_udp(range: &enforcer_core::policy::model::PortRange) -> enforcer_core::policy::model::PortRange {
    enforcer_core::policy::model::PortRange { protocol: Protocol::Udp, ..*range }
}

#[test]
fn nodes_carry_the_flows_of_workloads_on_their_network() {
    let ruled = objects(vec![mtls(red_to_blue("r1"))]);
    allows(&ruled, &tcp(OTHER_NODE, BLUE, TUNNEL_PORT), "tunnel");
    says(&ruled, &tcp(OTHER_NODE, BLUE, 443), Answer::Deny, "no-rule-matched", "remote_node_no_rule");
    allows(&ruled, &tcp(NODE, BLUE, TUNNEL_PORT), "host-default");
    says(&ruled, &tcp(OTHER_NODE, RED, TUNNEL_PORT), Answer::Deny, "no-rule-matched", "remote_node_no_rule");
    let host_refused = ruled.with_rule(rule("r2", Peer::Host, of("blue"), Action::Deny));
    allows(&host_refused, &tcp(NODE, BLUE, TUNNEL_PORT), "tunnel");
    says(&host_refused, &tcp(NODE, BLUE, 443), Answer::Deny, "r2", "rule_denied");
    let node_refused = host_refused.with_rule(rule("r3", Peer::RemoteNode, of("blue"), Action::Deny));
    allows(&node_refused, &tcp(OTHER_NODE, BLUE, TUNNEL_PORT), "tunnel");
    says(&node_refused, &tcp(OTHER_NODE, BLUE, 443), Answer::Deny, "r3", "rule_denied");
}

#[test]
fn the_tables_hold_one_more_entry_for_each_peer_that_carries() {
    let rules = |mtls_required| vec![Rule { mtls_required, ..red_to_blue("r1") }];
    let held = |rules| {
        let policy = objects(rules).policy();
        let image = compile(&policy, &facts(&policy));
        (entries(&image), image)
    };
    let ((plain, _), (tunnelled, image)) = (held(rules(false)), held(rules(true)));
    assert_eq!((tunnelled.pairs, tunnelled.ports), (plain.pairs + 1, plain.ports + 2));
    let blue = &image.tenants[&17];
    assert_eq!(blue.pairs.keys().copied().collect::<Vec<_>>(), [identity::REMOTE_NODE, 16]);
    assert!(image.tenants[&16].ports.is_empty() && blue.pairs.keys().all(|peer| peer & PEER_EGRESS == 0));
}

#[test]
fn an_audit_mode_shadow_knows_where_the_ends_are() {
    let audit = |rule: Rule| Rule { mode: Mode::Audit, ..rule };
    let shadow = |objects: &Objects, to| verdict(objects, &tcp(RED, to, 443)).shadow;
    let r1 = |answer| Some(("r1".to_owned(), answer));
    let trial = objects(vec![audit(mtls(red_to_blue("r1")))]);
    assert_eq!(shadow(&trial, BLUE), r1(Answer::Allow));
    assert_eq!(shadow(&trial, BLUE_AWAY), r1(Answer::Deny), "refused as it is, and the tunnel would take it");
    let stricter = objects(vec![audit(always(red_to_blue("r1"))), mtls(red_to_blue("r2"))]);
    assert_eq!(shadow(&stricter, BLUE), None, "it takes nothing from the other");
    assert_eq!(shadow(&stricter, BLUE_AWAY), None);
    let looser = objects(vec![audit(red_to_blue("r1")), mtls(red_to_blue("r2"))]);
    assert_eq!(shadow(&looser, BLUE), None);
    assert_eq!(shadow(&looser, BLUE_AWAY), r1(Answer::Allow));
    let denied =
        objects(vec![audit(Rule { action: Action::Deny, ..red_to_blue("r1") }), mtls(red_to_blue("r2"))]);
    assert_eq!(shadow(&denied, BLUE), r1(Answer::Deny));
    assert_eq!(shadow(&denied, BLUE_AWAY), r1(Answer::Deny), "the tunnel would take it no more");
    let inside = |rule: Rule| Rule { from: of("red"), ..rule };
    let own = objects(vec![audit(mtls(inside(Rule { to: of("red"), ..red_to_blue("r1") })))]);
    assert_eq!(shadow(&own, RED), None);
    assert_eq!(shadow(&own, RED_AWAY), r1(Answer::Deny));
}

#[test]
fn a_tenant_in_audit_lets_plaintext_pass_and_says_so() {
    let mut objects = objects(vec![mtls(red_to_blue("r1"))]);
    objects.tenants[1].mode = Mode::Audit;
    assert!(found(&objects, &tcp(RED, BLUE_AWAY, 443), Answer::Audit, "r1", "mtls_required").tunnel);
}

const END: TunnelEnd = TunnelEnd {
    v4: Some(Ipv4Addr::new(172, 16, 0, 2)),
    v6: Some(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2)),
};

fn with_end(facts: &mut NodeFacts, workload: &str, tunnel: TunnelEnd) {
    facts.attachments.get_mut(workload).unwrap().tunnel = Some(tunnel);
}

#[test]
fn a_standing_end_is_announced_at_the_interface_and_the_cgroup() {
    let mut objects = objects(vec![mtls(red_to_blue("r1"))]);
    objects.workloads[1].cgroup = Some("/pods/w2".to_owned());
    objects.workloads[0].host_network = true;
    let policy = objects.policy();
    let mut facts = facts(&policy);
    let loopback = TunnelEnd { v4: Some(Ipv4Addr::LOCALHOST), v6: None };
    let host = Attachment { interface: None, cgroup: Some(900), tunnel: None };
    facts.attachments.insert("w1".into(), host);
    let before = compile(&policy, &facts);
    assert_eq!((before.interfaces[&101].flags, before.cgroups[&1101].flags), (0, 0));
    with_end(&mut facts, "w1", loopback);
    with_end(&mut facts, "w2", END);
    let after = compile(&policy, &facts);
    assert_eq!(after.interfaces[&101].flags, INTERFACE_TUNNEL);
    let pod = after.cgroups[&1101];
    let expected = (CGROUP_TUNNEL, address::from_v4([172, 16, 0, 2]), END.v6.unwrap().octets());
    assert_eq!((pod.flags, pod.tunnel_v4, pod.tunnel_v6), expected);
    let host = after.cgroups[&900];
    let expected = (CGROUP_HOST_NETWORK | CGROUP_TUNNEL, address::from_v4([127, 0, 0, 1]), [0; 16]);
    assert_eq!((host.flags, host.tunnel_v4, host.tunnel_v6), expected);
}

#[test]
fn an_end_that_does_not_stand_is_a_warning() {
    let told = |rules: Vec<Rule>, ends: &[&str]| {
        let policy = objects(rules).policy();
        let mut facts = facts(&policy);
        ends.iter().for_each(|workload| with_end(&mut facts, workload, END));
        warnings(&policy, &facts, NOW, 10)
    };
    let missing = |workload| {
        format!(
            "workload {workload}: its end of the tunnel does not stand: what rule r1 allows over mutual TLS alone is \
             refused"
        )
    };
    assert_eq!(told(vec![mtls(red_to_blue("r1"))], &[]), [missing("w1"), missing("w2")]);
    assert_eq!(told(vec![mtls(red_to_blue("r1"))], &["w1"]), [missing("w2")]);
    let nothing = Vec::<String>::new();
    assert_eq!(told(vec![mtls(red_to_blue("r1"))], &["w1", "w2"]), nothing);
    assert_eq!(told(vec![red_to_blue("r1")], &[]), nothing);
    assert_eq!(told(vec![Rule { mode: Mode::Audit, ..mtls(red_to_blue("r1")) }], &[]), nothing);
    let inside = Rule { from: of("blue"), ..mtls(red_to_blue("r1")) };
    assert_eq!(told(vec![inside], &[]), [missing("w2")]);
}

fn explained(
    policy: &Policy,
    facts: &NodeFacts,
    ends: (&str, &str),
    service: (Protocol, u16),
) -> Explanation {
    let request = FlowRequest {
        source: ends.0.to_owned(),
        destination: ends.1.to_owned(),
        protocol: service.0,
        port: Some(service.1),
        icmp_type: None,
        now: NOW,
    };
    explain_flow(policy, facts, &request).unwrap()
}

#[test]
fn an_explanation_says_how_the_flow_is_carried() {
    let policy = objects(vec![mtls(red_to_blue("r1"))]).policy();
    let facts = facts(&policy);
    let https = (Protocol::Tcp, 443);
    let plainly = [
        ("w1", "w2", https, Carriage::OneNode, "rule r1: allowed as it is: both ends are on this node"),
        (
            "w1",
            "w4",
            https,
            Carriage::Tunnel,
            "allowed over mutual TLS; plaintext is refused with mtls_required",
        ),
        ("red", "blue", https, Carriage::Tunnel, "allowed over mutual TLS"),
        ("w1", "w4", (Protocol::Udp, 443), Carriage::Plain, "only TCP can be carried over mutual TLS"),
        ("w1", "w4", (Protocol::Tcp, TUNNEL_PORT), Carriage::Plain, "tunnel: this connection carries flows"),
        ("w2", "w1", https, Carriage::Plain, "no rule speaks of it"),
    ];
    for (from, to, service, carriage, sentence) in plainly {
        let found = explained(&policy, &facts, (from, to), service);
        assert_eq!(found.carriage, carriage, "{from} to {to}");
        let steps = found.steps.join("\n");
        assert!(steps.contains(sentence), "{from} to {to}: {sentence:?} is not in:\n{steps}");
    }
}

#[test]
fn a_tunnel_reaches_a_workload_only_where_somebody_holds_its_end() {
    let policy = objects(vec![mtls(red_to_blue("r1"))]).policy();
    let mut facts = facts(&policy);
    let ask = |facts: &NodeFacts| explained(&policy, facts, ("w3", "w2"), (Protocol::Tcp, TUNNEL_PORT));
    let refused = ask(&facts);
    assert_eq!((refused.verdict, refused.rule.as_str(), refused.reason), ("deny", "tunnel", "mtls_required"));
    assert!(refused.steps.join("\n").contains("nobody holds"), "{:?}", refused.steps);
    with_end(&mut facts, "w2", END);
    let allowed = ask(&facts);
    assert_eq!((allowed.verdict, allowed.rule.as_str(), allowed.reason), ("allow", "tunnel", "none"));
}

#[test]
fn rules_are_known_by_number_as_asking_for_the_tunnel() {
    let mut objects = objects(vec![mtls(red_to_blue("r1")), red_to_blue("r2"), always(red_to_blue("r3"))]);
    let asks = |objects: &Objects| {
        let policy = objects.policy();
        [1, 2, 3].map(|number| asks_for_tunnel(&policy, FIRST_RULE_NUMBER + number))
    };
    assert_eq!(asks(&objects), [true, false, true]);
    objects.rules[0].action = Action::Deny;
    objects.tenants[0].tier = Tier::Isolated;
    objects.rules[1].carried_by = vec!["red".into(), "blue".into()];
    assert_eq!(asks(&objects), [false, true, false], "isolated: carried by both or not at all");
    assert!(!asks_for_tunnel(&objects.policy(), RULE_TUNNEL));
}
