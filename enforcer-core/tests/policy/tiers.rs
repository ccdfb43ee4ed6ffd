//! The four tiers of the documentation's table, line by line.

use enforcer_core::policy::model::{Action, Bound, Rule, Tier};
use enforcer_core::policy::oracle::{Answer, OracleVerdict};

use crate::support::ask::{asked, tcp};
use crate::support::build::{Objects, binding, of, rule, tenant, workload};
use crate::support::generate::facts;

const TIERS: [Tier; 4] = [Tier::Shared, Tier::Partitioned, Tier::Isolated, Tier::Dedicated];

fn pair(red: Tier, blue: Tier) -> Objects {
    Objects {
        tenants: vec![tenant("red", 16, red), tenant("blue", 17, blue)],
        workloads: vec![
            workload("w1", "red", &["172.16.0.1", "fd00::1"]),
            workload("w2", "blue", &["172.16.0.2", "fd00::2"]),
        ],
        bindings: vec![
            binding("172.17.0.1", Bound::Tenant("red".into())),
            binding("172.17.0.2", Bound::Tenant("blue".into())),
        ],
        rules: Vec::new(),
    }
}

fn red_to_blue() -> Rule {
    rule("r1", of("red"), of("blue"), Action::Allow)
}

fn carried(rule: Rule) -> Rule {
    Rule { carried_by: vec!["red".into(), "blue".into()], ..rule }
}

fn verdict(objects: &Objects, from: &str, to: &str) -> OracleVerdict {
    let policy = objects.policy();
    asked(&policy, &facts(&policy), &tcp(from, to, 443))
}

fn refused(verdict: &OracleVerdict, rule: &str, reason: &str) {
    let found = (verdict.answer, verdict.rule.as_str(), verdict.reason);
    assert_eq!(found, (Answer::Deny, rule, reason));
}

fn allowed(verdict: &OracleVerdict, rule: &str) {
    assert_eq!((verdict.answer, verdict.rule.as_str(), verdict.reason), (Answer::Allow, rule, "none"));
}

#[test]
fn every_tier_has_the_flow_gate() {
    for red in TIERS {
        for blue in TIERS {
            for (from, to) in
                [("172.16.0.1", "172.16.0.2"), ("172.17.0.1", "172.16.0.2"), ("fd00::1", "fd00::2")]
            {
                let verdict = verdict(&pair(red, blue), from, to);
                assert_eq!(verdict.answer, Answer::Deny, "{red:?} to {blue:?} without a rule");
            }
        }
    }
}

#[test]
fn traffic_inside_a_tenant_is_allowed_in_every_tier() {
    for tier in TIERS {
        for (from, to) in [("172.16.0.1", "172.17.0.1"), ("172.17.0.1", "fd00::1")] {
            allowed(&verdict(&pair(tier, Tier::Shared), from, to), "intra-tenant");
        }
    }
}

#[test]
fn shared_and_partitioned_tenants_meet_only_by_a_rule() {
    for red in [Tier::Shared, Tier::Partitioned] {
        for blue in [Tier::Shared, Tier::Partitioned] {
            let without = pair(red, blue);
            refused(
                &verdict(&without, "172.16.0.1", "172.16.0.2"),
                "no-rule-matched",
                "cross_tenant_no_rule",
            );
            let with = without.with_rule(red_to_blue());
            allowed(&verdict(&with, "172.16.0.1", "172.16.0.2"), "r1");
            refused(&verdict(&with, "172.16.0.2", "172.16.0.1"), "no-rule-matched", "cross_tenant_no_rule");
        }
    }
}

#[test]
fn an_isolated_tenant_on_either_side_asks_that_both_carry_the_rule() {
    for (red, blue) in [(Tier::Isolated, Tier::Shared), (Tier::Partitioned, Tier::Isolated)] {
        for carriers in [vec![], vec!["red"], vec!["blue"]] {
            let carried_by = carriers.into_iter().map(Into::into).collect();
            let objects = pair(red, blue).with_rule(Rule { carried_by, ..red_to_blue() });
            refused(&verdict(&objects, "172.16.0.1", "172.16.0.2"), "r1", "not_carried_by_both");
        }
    }
}

#[test]
fn an_isolated_tenant_refuses_plaintext_between_nodes_even_by_a_rule_that_both_carry() {
    for (red, blue) in [(Tier::Isolated, Tier::Shared), (Tier::Shared, Tier::Isolated)] {
        let objects = pair(red, blue).with_rule(carried(red_to_blue()));
        refused(&verdict(&objects, "172.17.0.1", "172.16.0.2"), "r1", "mtls_required");
        refused(&verdict(&objects, "172.16.0.1", "172.17.0.2"), "r1", "mtls_required");
        allowed(&verdict(&objects, "172.16.0.1", "172.16.0.2"), "r1");
        let always = Rule { mtls_required: true, mtls_always: true, ..carried(red_to_blue()) };
        let objects = pair(red, blue).with_rule(always);
        refused(&verdict(&objects, "172.16.0.1", "172.16.0.2"), "r1", "mtls_required");
    }
}

#[test]
fn a_dedicated_tenant_meets_nobody_whatever_the_rules_say() {
    for other in TIERS {
        for (red, blue) in [(Tier::Dedicated, other), (other, Tier::Dedicated)] {
            let objects = pair(red, blue).with_rule(carried(red_to_blue()));
            refused(&verdict(&objects, "172.16.0.1", "172.16.0.2"), "no-rule-matched", "tier_dedicated");
        }
    }
}

#[test]
fn a_dedicated_tenant_meets_a_platform_service_by_a_rule() {
    let mut objects = pair(Tier::Dedicated, Tier::Shared);
    objects.tenants[1].platform_service = true;
    refused(&verdict(&objects, "172.16.0.1", "172.16.0.2"), "no-rule-matched", "cross_tenant_no_rule");
    let objects = objects.with_rule(red_to_blue());
    allowed(&verdict(&objects, "172.16.0.1", "172.16.0.2"), "r1");
    refused(&verdict(&objects, "172.16.0.2", "172.16.0.1"), "no-rule-matched", "cross_tenant_no_rule");
}

#[test]
fn the_terms_of_a_tier_grow_with_its_strictness() {
    let passes = |tier, rule: Rule, from| {
        let objects = pair(tier, Tier::Shared).with_rule(rule);
        verdict(&objects, from, "172.16.0.2").answer == Answer::Allow
    };
    for rule in
        [red_to_blue(), carried(red_to_blue()), Rule { mtls_required: true, ..carried(red_to_blue()) }]
    {
        for from in ["172.16.0.1", "172.17.0.1"] {
            let passing: Vec<bool> = TIERS.iter().map(|tier| passes(*tier, rule.clone(), from)).collect();
            assert!(passing.is_sorted_by(|looser, stricter| looser >= stricter), "{rule:?}: {passing:?}");
        }
    }
}
