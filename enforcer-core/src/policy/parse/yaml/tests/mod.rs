//! Tests of the YAML door: one clear error with file and line for every kind of bad input.

use super::*;
use crate::policy::parse::limits::{MAX_YAML_DEPTH, MAX_YAML_SCALAR};

const HEAD: &str = "apiVersion: enforcer.dev/v1\n";

fn problems(text: &str) -> Vec<(&'static str, String, Option<u32>)> {
    let found = documents(&[("a.yaml", text)]).unwrap_err();
    assert!(found.iter().all(|problem| problem.file.as_deref() == Some("a.yaml")), "{found:?}");
    found.into_iter().map(|problem| (problem.code, problem.path, problem.line)).collect()
}

#[track_caller]
fn assert_problem(text: &str, code: &str, path: &str, line: u32) {
    let found = problems(text);
    let found: Vec<_> = found.iter().map(|(code, path, line)| (*code, path.as_str(), *line)).collect();
    assert_eq!(found, [(code, path, Some(line))]);
}

fn tenant(rest: &str) -> String {
    format!(
        "{HEAD}kind: Tenant\nmetadata: {{name: red}}\nspec:\n  id: 16\n  tier: shared\n  dataClassification: public\n{rest}"
    )
}

#[test]
fn malformed_yaml_is_one_error_with_its_line() {
    assert_problem("a: [1, 2\nb: c\n", "malformed_yaml", "document", 2);
}

#[test]
fn documents_before_the_malformed_one_are_still_judged() {
    let text = format!("{}---\na: [\n", tenant("  colour: red\n"));
    let codes: Vec<_> = problems(&text).into_iter().map(|(code, ..)| code).collect();
    assert_eq!(codes, ["unknown_field", "malformed_yaml"]);
}

#[test]
fn unknown_fields_are_refused_on_every_level() {
    assert_problem(&tenant("  colour: red\n"), "unknown_field", "tenants[red].colour", 8);
    assert_problem(&tenant("status: {}\n"), "unknown_field", "tenants[red].status", 8);
    let text = tenant("").replace("{name: red}", "{name: red, labels: {a: b}}");
    assert_problem(&text, "unknown_field", "tenants[red].metadata.labels", 3);
    let text = tenant("  egress:\n  - ipBlock: {cidr: 10.0.0.0/8}\n    port: 1\n");
    assert_problem(&text, "unknown_field", "tenants[red].egress[0].port", 10);
}

#[test]
fn unknown_kinds_and_versions_are_refused() {
    let text = tenant("").replace("Tenant", "Deployment");
    assert_problem(&text, "unknown_kind", "document.kind", 2);
    let text = tenant("").replace("/v1", "/v2");
    assert_problem(&text, "unknown_api_version", "document.apiVersion", 1);
}

/// Seed defect 15: an unknown framework was skipped, and nothing left to check counted as compliant.
#[test]
fn seed_15_the_unknown_is_refused_and_never_skipped() {
    assert!(documents(&[("a.yaml", tenant("").replace("kind: Tenant", "kind: Tenent"))]).is_err());
    assert!(documents(&[("a.yaml", tenant("").replace("tier: shared", "tier: lax"))]).is_err());
    assert_eq!(documents::<&str, &str>(&[]).unwrap_err()[0].code, "no_documents");
    assert_eq!(documents(&[("a.yaml", "# nothing\n---\n")]).unwrap_err()[0].code, "no_documents");
}

#[test]
fn duplicate_keys_are_refused() {
    assert_problem(&tenant("  id: 17\n"), "duplicate_field", "document", 8);
}

#[test]
fn aliases_anchors_and_tags_are_refused_before_they_expand() {
    let mut bomb = "a0: &a0 [x]\n".to_owned();
    for level in 1..60 {
        bomb += &format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}]\n", level - 1);
    }
    let found = problems(&bomb);
    assert!(found.iter().all(|(code, ..)| *code == "anchor_refused"));
    assert_problem(&tenant("  mode: !!str audit\n"), "tag_refused", "document", 8);
}

#[test]
fn what_is_nested_too_deep_or_too_long_is_refused() {
    let deep = "[".repeat(MAX_YAML_DEPTH + 1);
    assert_problem(&deep, "nested_too_deep", "document", 1);
    let block: String = (0..=MAX_YAML_DEPTH).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    assert_problem(&block, "nested_too_deep", "document", 33);
    assert_problem(&format!("a: {}\n", "x".repeat(MAX_YAML_SCALAR + 1)), "value_too_long", "document", 1);
}

#[test]
fn a_document_larger_than_the_limit_is_refused_unread() {
    assert_problem(&" ".repeat(MAX_DOCUMENT_BYTES + 1), "document_too_large", "documents", 1);
}

#[test]
fn more_values_than_the_limit_are_refused() {
    let text = "- a\n".repeat(1_000_001);
    let found = problems(&text);
    assert_eq!(found[0].0, "document_too_large");
    assert_eq!(found.len(), 1);
}

#[test]
fn empty_lists_and_nulls_are_errors() {
    assert_problem(&tenant("  devices: []\n"), "empty_list", "tenants[red].devices", 8);
    assert_problem(&tenant("  mode:\n"), "null_value", "tenants[red].mode", 8);
    assert_problem(&tenant("  egress: null\n"), "null_value", "tenants[red].egress", 8);
    assert_problem(&tenant("  egress: [null]\n"), "null_value", "tenants[red].egress[0]", 8);
}

#[test]
fn wrong_types_are_errors() {
    for (field, code) in [
        ("mode: [audit]", "wrong_type"),
        ("mode: 1", "wrong_type"),
        ("mode: audits", "unknown_value"),
        ("platformService: yes", "wrong_type"),
        ("platformService: \"true\"", "wrong_type"),
    ] {
        let name = field.split(':').next().unwrap();
        assert_problem(&tenant(&format!("  {field}\n")), code, &format!("tenants[red].{name}"), 8);
    }
    for id in ["-1", "1.5", "0x10", "016", "\"16\"", "4294967296"] {
        let found = problems(&tenant("").replace("id: 16", &format!("id: {id}")));
        assert_eq!((found[0].1.as_str(), found[0].2), ("tenants[red].id", Some(5)), "{id}");
    }
    assert_problem(
        &tenant("").replace("name: red", "name: 7"),
        "wrong_type",
        "tenants[line 1].metadata.name",
        3,
    );
}

#[test]
fn missing_fields_are_named() {
    assert_problem(&tenant("").replace("  id: 16\n", ""), "missing_field", "tenants[red].id", 5);
    assert_problem(
        &tenant("").replace("metadata: {name: red}\n", ""),
        "missing_field",
        "tenants[line 1].metadata",
        1,
    );
    let paths: Vec<String> = problems("a: b\n").into_iter().map(|(_, path, _)| path).collect();
    assert_eq!(paths, ["document.apiVersion", "document.kind"]);
}

#[test]
fn cidrs_with_host_bits_have_the_line_of_the_field() {
    let text = tenant("  egress:\n  - ipBlock:\n      cidr: 10.0.0.1/8\n  zoo: 1\n");
    let found = problems(&text);
    let found: Vec<_> = found.iter().map(|(code, path, line)| (*code, path.as_str(), *line)).collect();
    assert_eq!(found, [("unknown_field", "tenants[red].zoo", Some(11)),]);
    let text = tenant("  egress:\n  - ipBlock:\n      cidr: 10.0.0.1/8\n");
    let read = read(&[("a.yaml", text)]);
    assert_eq!(read.locate("tenants[red].egress[0].ipBlock.cidr"), Some(("a.yaml".to_owned(), 10)));
    assert_eq!(read.locate("tenants[red].egress[0].ipBlock.except[3]"), Some(("a.yaml".to_owned(), 9)));
    assert_eq!(read.locate("tenants[blue]"), None);
}

#[test]
fn a_rule_names_one_peer_on_each_side() {
    let text = format!(
        "{HEAD}kind: Rule\nmetadata: {{name: a}}\nspec:\n  from: {{tenant: red, world: {{}}}}\n  to: {{host: {{}}}}\n  action: allow\n"
    );
    assert_problem(&text, "names_several", "rules[a].from", 5);
    let text = text
        .replace("{tenant: red, world: {}}", "{host: {port: 1}}")
        .replace("to: {host: {}}", "to: {tenant: red}");
    assert_problem(&text, "unknown_field", "rules[a].from.host.port", 5);
}

#[test]
fn mutual_tls_always_is_stated_beside_mutual_tls() {
    let rule = |rest: &str| {
        format!(
            "{HEAD}kind: Rule\nmetadata: {{name: r}}\nspec:\n  from: {{tenant: red}}\n  to: {{tenant: blue}}\n  action: allow\n{rest}"
        )
    };
    let read = |rest: &str| {
        let rules = documents(&[("a.yaml", rule(rest))]).unwrap().snapshot.rules;
        rules.iter().map(|rule| (rule.mtls_required, rule.mtls_always)).collect::<Vec<_>>()
    };
    assert_eq!(read(""), [(false, false)]);
    assert_eq!(read("  mtlsRequired: true\n"), [(true, false)]);
    assert_eq!(read("  mtlsRequired: true\n  mtlsAlways: true\n"), [(true, true)]);
    assert_eq!(read("  mtlsRequired: false\n  mtlsAlways: false\n"), [(false, false)]);
    assert_problem(&rule("  mtlsAlways: \"yes\"\n"), "wrong_type", "rules[r].mtlsAlways", 8);
}

#[test]
fn a_bindings_name_is_its_address_or_nothing() {
    let text = format!(
        "{HEAD}kind: Binding\nmetadata: {{name: web}}\nspec: {{address: 10.0.0.1, host: {{}}, generation: 1}}\n"
    );
    assert_problem(&text, "binding_name", "bindings[10.0.0.1].metadata.name", 3);
    assert!(documents(&[("a.yaml", text.replace("web", "10.0.0.1"))]).is_ok());
}

#[test]
fn one_name_in_two_files_is_refused_with_both_places() {
    let found = documents(&[("a.yaml", tenant("")), ("b.yaml", tenant(""))]).unwrap_err();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].code, found[0].file.as_deref(), found[0].line),
        ("duplicate_name", Some("b.yaml"), Some(1))
    );
    assert!(found[0].message.contains("a.yaml line 1"));
}

#[test]
fn what_may_be_left_out_has_the_strict_meaning() {
    let read = documents(&[("a.yaml", tenant(""))]).unwrap();
    let tenant = &read.snapshot().tenants[0];
    assert_eq!(tenant.mode, i32::from(v1::Mode::Enforce));
    assert!(!tenant.platform_service && tenant.egress.is_empty() && tenant.devices.is_empty());
}

#[test]
fn the_documentations_examples_are_right() {
    assert!(examples_applied(include_str!("../../../../../../docs/policy.md")) >= 5);
    assert!(examples_applied(include_str!("../../../../../../README.md")) >= 1);
}

/// Applies the YAML examples of a page together, and counts them.
fn examples_applied(page: &str) -> usize {
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let files: Vec<(String, &str)> =
        examples.iter().enumerate().map(|(index, text)| (format!("example {index}"), *text)).collect();
    let documents = read(&files);
    let change = crate::policy::change::Change::Documents { documents, prune: true };
    let outcome = crate::policy::change::apply(&crate::policy::model::Policy::default(), &change, 0);
    assert_eq!(outcome.err(), None);
    examples.len()
}
