//! Which rule prevails, sentence by sentence.

use enforcer_core::policy::model::{Action, Bound, Mode, Peer, PortRange, Protocol, Rule, Tier};
use enforcer_core::policy::oracle::{Answer, Flow, OracleVerdict};

use crate::support::ask::{asked, tcp};
use crate::support::build::{self, Objects, binding, block, egress, of, rule, tenant, workload};
use crate::support::generate::{NOW, facts};

const RED: &str = "172.16.0.1";
const BLUE: &str = "172.16.0.2";

fn objects(rules: Vec<Rule>) -> Objects {
    Objects {
        tenants: vec![tenant("red", 16, Tier::Shared), tenant("blue", 17, Tier::Shared)],
        workloads: vec![workload("w1", "red", &[RED, "fd00::1"]), workload("w2", "blue", &[BLUE, "fd00::2"])],
        bindings: vec![binding("172.17.0.9", Bound::RemoteNode)],
        rules,
    }
}

fn verdict(objects: &Objects, flow: &Flow) -> OracleVerdict {
    let policy = objects.policy();
    asked(&policy, &facts(&policy), flow)
}

fn says(objects: &Objects, flow: &Flow, answer: Answer, rule: &str, reason: &str) {
    let verdict = verdict(objects, flow);
    assert_eq!((verdict.answer, verdict.rule.as_str(), verdict.reason), (answer, rule, reason), "{flow:?}");
}

fn with_ports(rule: Rule, first: u16, last: u16) -> Rule {
    Rule { ports: Some(build::tcp(first, last)), ..rule }
}

fn allow(name: &str) -> Rule {
    rule(name, of("red"), of("blue"), Action::Allow)
}

fn deny(name: &str) -> Rule {
    rule(name, of("red"), of("blue"), Action::Deny)
}

#[test]
fn deny_beats_allow_however_specific_either_is() {
    let wide_deny = objects(vec![with_ports(allow("r1"), 80, 80), with_ports(deny("r2"), 1, 1000)]);
    says(&wide_deny, &tcp(RED, BLUE, 80), Answer::Deny, "r2", "rule_denied");
    let narrow_deny = objects(vec![allow("r1"), with_ports(deny("r2"), 80, 80)]);
    says(&narrow_deny, &tcp(RED, BLUE, 80), Answer::Deny, "r2", "rule_denied");
    says(&narrow_deny, &tcp(RED, BLUE, 79), Answer::Allow, "r1", "none");
    says(&narrow_deny, &tcp(RED, BLUE, 81), Answer::Allow, "r1", "none");
}

#[test]
fn the_first_name_speaks_for_rules_of_one_outcome() {
    let objects = objects(vec![with_ports(allow("r2"), 80, 90), with_ports(allow("r1"), 85, 95)]);
    says(&objects, &tcp(RED, BLUE, 84), Answer::Allow, "r2", "none");
    says(&objects, &tcp(RED, BLUE, 85), Answer::Allow, "r1", "none");
    says(&objects, &tcp(RED, BLUE, 95), Answer::Allow, "r1", "none");
    says(&objects, &tcp(RED, BLUE, 96), Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
}

#[test]
fn a_rule_without_ports_speaks_of_every_protocol() {
    let objects = objects(vec![allow("r1")]);
    for protocol in [6, 17, 132, 1, 47, 255] {
        says(&objects, &Flow { protocol, ..tcp(RED, BLUE, 0) }, Answer::Allow, "r1", "none");
    }
}

#[test]
fn icmp_rules_know_types_and_codes() {
    let echo = PortRange { protocol: Protocol::Icmp, first: 0x0800, last: 0x08ff };
    let objects = objects(vec![Rule { ports: Some(vec![echo]), ..allow("r1") }]);
    let icmp = |service| Flow { protocol: 1, service, ..tcp(RED, BLUE, 0) };
    says(&objects, &icmp(0x0800), Answer::Allow, "r1", "none");
    says(&objects, &icmp(0x0d00), Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
    says(&objects, &tcp(RED, BLUE, 0x0800), Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
}

#[test]
fn the_same_tenant_is_allowed_unless_denied() {
    let inside = rule("r1", of("red"), of("red"), Action::Deny);
    let objects = objects(vec![with_ports(inside, 22, 22)]);
    says(&objects, &tcp(RED, "fd00::1", 22), Answer::Deny, "r1", "rule_denied");
    says(&objects, &tcp(RED, "fd00::1", 23), Answer::Allow, "intra-tenant", "none");
    says(&objects, &tcp(BLUE, "fd00::2", 22), Answer::Allow, "intra-tenant", "none");
}

#[test]
fn the_host_may_come_in_unless_denied_and_is_not_reached_without_a_rule() {
    let plain = objects(Vec::new());
    says(&plain, &tcp("172.18.0.1", RED, 22), Answer::Allow, "host-default", "none");
    says(&plain, &tcp(RED, "172.18.0.1", 22), Answer::Deny, "no-rule-matched", "host_no_rule");
    let ruled = objects(vec![
        rule("r1", Peer::Host, of("red"), Action::Deny),
        rule("r2", of("red"), Peer::Host, Action::Allow),
    ]);
    says(&ruled, &tcp("172.18.0.1", RED, 22), Answer::Deny, "r1", "rule_denied");
    says(&ruled, &tcp(RED, "fd01::1", 22), Answer::Allow, "r2", "none");
    says(&ruled, &tcp("172.18.0.1", BLUE, 22), Answer::Allow, "host-default", "none");
}

#[test]
fn other_nodes_need_a_rule_in_both_directions() {
    let plain = objects(Vec::new());
    says(&plain, &tcp("172.17.0.9", RED, 22), Answer::Deny, "no-rule-matched", "remote_node_no_rule");
    says(&plain, &tcp(RED, "172.17.0.9", 22), Answer::Deny, "no-rule-matched", "remote_node_no_rule");
    let ruled = objects(vec![rule("r1", Peer::RemoteNode, of("red"), Action::Allow)]);
    says(&ruled, &tcp("172.17.0.9", RED, 22), Answer::Allow, "r1", "none");
    says(&ruled, &tcp(RED, "172.17.0.9", 22), Answer::Deny, "no-rule-matched", "remote_node_no_rule");
}

#[test]
fn an_unbound_address_is_denied_with_its_own_reason() {
    let plain = objects(Vec::new());
    says(&plain, &tcp("8.8.8.8", RED, 22), Answer::Deny, "no-rule-matched", "source_unbound");
    says(&plain, &tcp(RED, "8.8.8.8", 22), Answer::Deny, "no-rule-matched", "destination_unbound");
}

#[test]
fn an_exception_is_no_part_of_its_block_and_no_deny() {
    let mut objects =
        objects(vec![rule("r1", of("red"), Peer::Block(block("10.1.2.3/32", &[])), Action::Allow)]);
    objects.tenants[0].egress = vec![egress("10.0.0.0/8", &["10.1.0.0/16"], Some(build::tcp(443, 443)))];
    says(&objects, &tcp(RED, "10.0.0.1", 443), Answer::Allow, "tenant-egress", "none");
    says(&objects, &tcp(RED, "10.0.0.1", 80), Answer::Deny, "no-rule-matched", "destination_unbound");
    says(&objects, &tcp(RED, "10.1.0.1", 443), Answer::Deny, "no-rule-matched", "destination_unbound");
    says(&objects, &tcp(RED, "10.1.2.3", 443), Answer::Allow, "r1", "none");
    says(&objects, &tcp(BLUE, "10.0.0.1", 443), Answer::Deny, "no-rule-matched", "destination_unbound");
}

#[test]
fn all_of_ipv6_is_none_of_ipv4() {
    let objects = objects(vec![rule("r1", Peer::Block(block("::/0", &[])), of("red"), Action::Allow)]);
    says(&objects, &tcp("2a00::1", "fd00::1", 1), Answer::Allow, "r1", "none");
    says(&objects, &tcp("8.8.8.8", RED, 1), Answer::Deny, "no-rule-matched", "source_unbound");
}

#[test]
fn the_world_is_both_families_and_nobody_known() {
    let objects = objects(vec![rule("r1", Peer::World, of("blue"), Action::Allow)]);
    says(&objects, &tcp("8.8.8.8", BLUE, 1), Answer::Allow, "r1", "none");
    says(&objects, &tcp("2a00::1", "fd00::2", 1), Answer::Allow, "r1", "none");
    says(&objects, &tcp(RED, BLUE, 1), Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
    says(&objects, &tcp("172.17.0.9", BLUE, 1), Answer::Deny, "no-rule-matched", "remote_node_no_rule");
}

#[test]
fn an_audit_rule_is_a_shadow() {
    let audit = |rule: Rule| Rule { mode: Mode::Audit, ..rule };
    let objects = objects(vec![with_ports(allow("r1"), 80, 89), audit(with_ports(deny("r2"), 85, 95))]);
    let shadow = |port| verdict(&objects, &tcp(RED, BLUE, port)).shadow;
    assert_eq!(shadow(84), None);
    assert_eq!(shadow(85), Some(("r2".to_owned(), Answer::Deny)));
    assert_eq!(shadow(90), None, "refused with and without it");
    let objects = self::objects(vec![audit(allow("r3"))]);
    let verdict = verdict(&objects, &tcp(RED, BLUE, 1));
    assert_eq!((verdict.answer, verdict.shadow), (Answer::Deny, Some(("r3".to_owned(), Answer::Allow))));
}

#[test]
fn a_tenant_in_audit_lets_its_refusals_pass_but_not_lapsed_leases() {
    let mut objects = objects(vec![deny("r1")]);
    objects.tenants[1].mode = Mode::Audit;
    says(&objects, &tcp(RED, BLUE, 1), Answer::Audit, "r1", "rule_denied");
    says(&objects, &tcp("8.8.8.8", BLUE, 1), Answer::Audit, "no-rule-matched", "source_unbound");
    says(&objects, &tcp(BLUE, RED, 1), Answer::Deny, "no-rule-matched", "cross_tenant_no_rule");
    objects.workloads[0].lease_until = Some(NOW - 1);
    says(&objects, &tcp(RED, BLUE, 1), Answer::Deny, "no-rule-matched", "lease_expired");
}

#[test]
fn a_lapsed_lease_ends_cross_tenant_use_and_no_other() {
    let mut objects = objects(vec![allow("r1")]);
    says(&objects, &tcp(RED, BLUE, 1), Answer::Allow, "r1", "none");
    for lapsed in [0, 1, NOW - 1] {
        objects.workloads[0].lease_until = Some(lapsed);
        says(&objects, &tcp(RED, BLUE, 1), Answer::Deny, "no-rule-matched", "lease_expired");
        says(&objects, &tcp(RED, "fd00::1", 1), Answer::Allow, "intra-tenant", "none");
    }
    objects.workloads[0].lease_until = Some(NOW);
    says(&objects, &tcp(RED, BLUE, 1), Answer::Allow, "r1", "none");
}

#[test]
fn a_rule_whose_terms_are_not_met_takes_nothing_from_one_that_allows() {
    let out = |rule: Rule| Rule { from: of("red"), to: Peer::World, ..rule };
    let mtls = out(Rule { mtls_required: true, ..with_ports(allow("r1"), 80, 90) });
    let objects = objects(vec![mtls, out(with_ports(allow("r2"), 90, 99))]);
    says(&objects, &tcp(RED, "8.8.8.8", 89), Answer::Deny, "r1", "mtls_required");
    says(&objects, &tcp(RED, "8.8.8.8", 90), Answer::Allow, "r2", "none");
}
