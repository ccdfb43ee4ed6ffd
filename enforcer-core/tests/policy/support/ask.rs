//! A verdict by way of the tables, in the words that the reference evaluator uses.

use enforcer_common::identity;
use enforcer_common::policy::{Question, Tables, decide};
use enforcer_common::reason;
use enforcer_common::verdict::{self, Verdict};
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::compile::compile;
use enforcer_core::policy::compile::node::mapped;
use enforcer_core::policy::explain::rule_name;
use enforcer_core::policy::image::Image;
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::oracle::{self, Answer, Flow, OracleVerdict};
use enforcer_core::policy::tables::ImageTables;

/// What `decide()` says of a flow over an image.
pub(crate) fn decided(policy: &Policy, facts: &NodeFacts, image: &Image, flow: &Flow) -> OracleVerdict {
    in_words(policy, &raw(facts, image, flow))
}

/// The same, compiled for the occasion and checked against the reference evaluator.
pub(crate) fn asked(policy: &Policy, facts: &NodeFacts, flow: &Flow) -> OracleVerdict {
    let decided = decided(policy, facts, &compile(policy, facts), flow);
    assert_eq!(decided, oracle::verdict(policy, facts, flow), "{flow:?}");
    decided
}

fn raw(facts: &NodeFacts, image: &Image, flow: &Flow) -> Verdict {
    let tables = ImageTables::new(image);
    let kernel_now = u64::try_from(i128::from(flow.now) - i128::from(facts.clock_offset_ns)).unwrap();
    let party = |address| match tables.address(&mapped(address)) {
        Some(value) => {
            let expired = value.lease_until_ns != 0 && value.lease_until_ns < kernel_now;
            (value.identity, u32::from(expired), value.workload != 0)
        }
        None => (identity::WORLD, 0, false),
    };
    let (source, from_expired, from_here) = party(flow.from);
    let (destination, to_expired, to_here) = party(flow.to);
    let remote = if identity::is_tenant(source) { flow.to } else { flow.from };
    let question = Question {
        source,
        destination,
        expired: from_expired | to_expired,
        same_node: u32::from(from_here && to_here),
        remote: mapped(remote),
        protocol: flow.protocol,
        service: flow.service,
    };
    decide(&tables, &question)
}

fn in_words(policy: &Policy, verdict: &Verdict) -> OracleVerdict {
    let answer = |action| match action {
        verdict::ALLOW => Answer::Allow,
        verdict::DENY => Answer::Deny,
        verdict::AUDIT => Answer::Audit,
        other => panic!("action {other}"),
    };
    if verdict.shadow_rule == 0 {
        let expected = if verdict.action == verdict::AUDIT { verdict::DENY } else { verdict.action };
        assert_eq!(verdict.shadow_action, expected, "a shadow without a rule");
    }
    let shadow = (verdict.shadow_rule != 0)
        .then(|| (rule_name(policy, verdict.shadow_rule).to_string(), answer(verdict.shadow_action)));
    OracleVerdict {
        answer: answer(verdict.action),
        reason: reason::name(verdict.reason),
        rule: rule_name(policy, verdict.rule).to_string(),
        tunnel: verdict.tunnel != 0,
        shadow,
    }
}

/// A TCP flow at a time at which no lease has lapsed.
pub(crate) fn tcp(from: &str, to: &str, port: u16) -> Flow {
    Flow {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        protocol: 6,
        service: port,
        now: super::generate::NOW,
    }
}
