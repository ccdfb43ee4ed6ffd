use super::*;
use crate::detect::rule::{Action, Pattern, Per};

const HEAD: &str = "apiVersion: enforcer.dev/v1\nkind: DetectionRule\nmetadata: {name: a}\nspec:\n";

fn problems(spec: &str) -> Vec<String> {
    let text = format!("{HEAD}{spec}");
    rules(&[("r.yaml", text)]).unwrap_err().iter().map(ToString::to_string).collect()
}

fn one(spec: &str) -> Rules {
    rules(&[("r.yaml", format!("{HEAD}{spec}"))]).unwrap()
}

#[test]
fn the_defaults_cover_the_patterns_and_do_no_more_than_tell() {
    let rules = rules::<&str, &str>(&[]).unwrap();
    let mut patterns: Vec<Pattern> = rules.iter().map(|rule| rule.pattern).collect();
    patterns.sort();
    let mut wanted: Vec<Pattern> = Pattern::ALL.into_iter().map(|(pattern, _)| pattern).collect();
    wanted.retain(|pattern| *pattern != Pattern::UnusualHours);
    assert_eq!(patterns, wanted);
    assert!(rules.iter().all(|rule| !rule.terms.action.acts() && !rule.platform));
}

#[test]
fn an_operators_rule_takes_the_place_of_a_default_or_turns_it_off() {
    let text = "apiVersion: enforcer.dev/v1\nkind: DetectionRule\nmetadata: {name: port-scan}\n\
                spec: {pattern: port-scan, threshold: 7}\n---\napiVersion: enforcer.dev/v1\n\
                kind: DetectionRule\nmetadata: {name: volume}\nspec: {enabled: false}\n";
    let rules = rules(&[("r.yaml", text)]).unwrap();
    assert_eq!(rules.get("port-scan").map(|rule| rule.terms.threshold), Some(7));
    assert!(rules.get("volume").is_none() && rules.get("host-scan").is_some());
}

#[test]
fn everything_that_can_be_said_is_understood() {
    let rules = one("  pattern: failed-accesses\n  per: workload\n  window: 2m\n  threshold: 9\n  \
                     response: {kind: rate-limit, rate: 3, dryRun: true, expires: 1h}\n  cooldown: 30s\n  \
                     level: high\n  platform: true\n  tenants: [red, blue]\n  overrides:\n  \
                     - {tenant: red, window: 5m, response: {kind: revoke}}\n");
    let rule = rules.get("a").unwrap();
    assert_eq!((rule.per, rule.platform, rule.tenants.len()), (Per::Workload, true, 2));
    assert_eq!((rule.terms.action, rule.terms.expires_after_s), (Action::RateLimit(3), 3_600));
    let reds = rule.terms_for("red").unwrap();
    assert_eq!((reds.action, reds.window_s, reds.threshold), (Action::Revoke, 300, 9));
    assert!(rule.terms.dry_run && !reds.dry_run);
    assert!(rule.terms_for("green").is_none());
    assert_eq!(rule.terms_for("blue"), Some(&rule.terms));
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let all = problems("  pattern: port-scan\n  threshold: 900\n  window: 5\n  colour: red\n");
    assert_eq!(all.len(), 2, "{all:#?}");
    assert!(all[0].starts_with("r.yaml:7: rules[a].spec.window: is no text to YAML"), "{all:?}");
    assert!(all[1].starts_with("r.yaml:8: rules[a].spec.colour: is an unknown field"), "{all:?}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (spec, word) in [
        ("  pattern: portscan\n  threshold: 1\n", "is no pattern"),
        ("  threshold: 1\n", "spec.pattern: is missing"),
        ("  pattern: volume\n", "spec.threshold: is missing"),
        ("  pattern: volume\n  threshold: 0\n", "can be 1 to"),
        ("  pattern: port-scan\n  threshold: 513\n", "is more than 512"),
        ("  pattern: port-scan\n  threshold: 5\n  factor: 3\n", "leave `factor` out"),
        ("  pattern: volume\n  threshold: 5\n  factor: 3\n  per: workload\n", "leave `factor` out"),
        ("  pattern: port-scan\n  threshold: 5\n  per: tenant\n", "says itself whom it counts"),
        ("  pattern: volume\n  threshold: 5\n  response: {kind: revoke}\n", "per: workload"),
        ("  pattern: volume\n  threshold: 5\n  response: {kind: kill}\n", "is no response"),
        ("  pattern: volume\n  threshold: 5\n  response: alert\n", "a map of fields"),
        ("  pattern: volume\n  threshold: 5\n  response: {dryRun: true}\n", "kind: is missing"),
        ("  pattern: volume\n  threshold: 5\n  response: {kind: alert, expires: 1d}\n", "is no duration"),
        ("  pattern: volume\n  threshold: 5\n  response: {kind: deny-new, rate: 5}\n", "rate-limit` alone"),
        ("  pattern: volume\n  threshold: 5\n  minimumSamples: 9\n", "`factor` alone"),
        ("  pattern: volume\n  threshold: 5\n  window: 59s\n", "can be 60 to"),
        ("  pattern: unusual-hours\n  threshold: 5\n", "needs `usual`"),
        (
            "  pattern: unusual-hours\n  threshold: 5\n  usual: {from: \"8:00\", to: \"25:00\"}\n",
            "is no time of day",
        ),
        (
            "  pattern: unusual-hours\n  threshold: 5\n  usual: {from: \"08:00\", to: \"09:00\", days: [monday]}\n",
            "is no day",
        ),
        (
            "  pattern: unusual-hours\n  threshold: 5\n  usual: {from: \"08:00\", to: \"09:00\", utcOffset: \"2h\"}\n",
            "is no offset",
        ),
        ("  pattern: volume\n  threshold: 5\n  tenants: []\n", "empty list"),
        ("  pattern: volume\n  threshold: 5\n  tenants: [Red]\n", "is no name"),
        (
            "  pattern: volume\n  threshold: 5\n  tenants: [red]\n  overrides: [{tenant: blue}]\n",
            "leaves out",
        ),
        (
            "  pattern: volume\n  threshold: 5\n  overrides: [{tenant: blue}, {tenant: blue}]\n",
            "another override",
        ),
        ("  pattern: volume\n  threshold: &x 5\n", "anchor"),
    ] {
        let all = problems(spec);
        assert!(all.iter().any(|problem| problem.contains(word)), "{word}: {all:?}");
        assert!(all.iter().all(|problem| problem.starts_with("r.yaml:")), "{all:?}");
    }
}

#[test]
fn one_mistake_and_nothing_is_taken() {
    let text = format!("{HEAD}  pattern: volume\n  threshold: 5\n---\nkind: Tenant\n");
    assert!(rules(&[("r.yaml", text)]).is_err());
    let twice =
        format!("{HEAD}  pattern: volume\n  threshold: 5\n---\n{HEAD}  pattern: volume\n  threshold: 6\n");
    let all = rules(&[("r.yaml", twice)]).unwrap_err();
    assert_eq!((all.len(), all[0].code, all[0].line), (1, "duplicate_name", Some(8)));
}
