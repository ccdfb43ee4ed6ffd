//! The door of detection's rules: what comes in is rules that work, or problems that say where and what.

use enforcer_proto::v1;

use super::policy::sensible;
use crate::detect::engine::{Engine, Party};
use crate::detect::limits::{COOLDOWN_SECONDS, DISTINCT_MAX, EXPIRY_SECONDS, RULES_MAX, WINDOW_SECONDS};
use crate::detect::parse::rules;
use crate::detect::rule::{Action, Rule, Rules, Terms};

const NOW: u64 = 1_800_000_000_000_000_000;

/// A YAML file.
pub fn detection_rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match rules(&[("fuzz.yaml", text)]) {
        Err(problems) => {
            sensible(&problems);
            let is_placed = |code: &str| !matches!(code, "too_many" | "too_many_problems");
            assert!(problems.iter().all(|problem| problem.line.is_some() || !is_placed(problem.code)));
        }
        Ok(rules) => {
            assert!(rules.len() <= RULES_MAX);
            rules.iter().for_each(|rule| sound(rule));
            works(&rules);
        }
    }
}

fn sound(rule: &Rule) {
    for terms in std::iter::once(&rule.terms).chain(rule.overrides.values()) {
        let Terms { window_s, threshold, expires_after_s, cooldown_s, .. } = **terms;
        let is_within = |value: u64, (low, high): (u64, u64)| (low..=high).contains(&value);
        assert!(is_within(window_s, WINDOW_SECONDS) && is_within(cooldown_s, COOLDOWN_SECONDS));
        assert!(is_within(expires_after_s, EXPIRY_SECONDS) && threshold > 0);
        assert!(!rule.pattern.is_distinct() || usize::try_from(threshold).is_ok_and(|it| it <= DISTINCT_MAX));
        assert!(terms.factor.is_none() || rule.pattern.may_learn());
        assert!(terms.action != Action::RateLimit(0));
    }
    assert!(rule.tenants.is_empty() || rule.overrides.keys().all(|tenant| rule.tenants.contains(tenant)));
}

/// What was let in can be asked.
fn works(rules: &Rules) {
    let end =
        v1::Endpoint { identity: "red".to_owned(), address: "10.0.0.1".to_owned(), ..Default::default() };
    let record = v1::Record {
        r#type: "flow".to_owned(),
        verdict: "deny".to_owned(),
        source: Some(end.clone()),
        destination: Some(end),
        ..v1::Record::default()
    };
    let mut engine = Engine::new(rules, NOW);
    for second in 0..10 {
        for alert in engine.observe(&record, NOW + second * 1_000_000_000, &|_| Party::Tenant) {
            assert!(alert.value >= alert.limit && !alert.sentence().is_empty());
        }
    }
}
