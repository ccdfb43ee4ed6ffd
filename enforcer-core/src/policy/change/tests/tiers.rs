//! The tiers' terms.

use super::*;

const TIERS: [&str; 4] = ["shared", "partitioned", "isolated", "dedicated"];

fn pair(from: &str, to: &str, platform: bool) -> Vec<String> {
    let platform = format!(", platformService: {platform}");
    vec![tenant("from", 16, &format!(", tier: {from}")), tenant("to", 17, &format!(", tier: {to}{platform}"))]
}

fn allow(from: &str, to: &str, platform: bool, mtls: bool) -> Vec<&'static str> {
    let mut documents = pair(from, to, platform);
    documents.push(rule("r", "tenant: from", "tenant: to", &format!(", mtlsRequired: {mtls}")));
    match add(&Policy::default(), &documents) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| problem.code).collect(),
    }
}

#[test]
fn an_allow_rule_between_a_dedicated_tenant_and_no_platform_service_is_refused() {
    assert_eq!(allow("dedicated", "shared", false, true), ["tier_forbids"]);
    assert_eq!(allow("shared", "dedicated", false, true), ["tier_forbids"]);
    assert!(allow("dedicated", "shared", true, true).is_empty());
}

#[test]
fn a_cross_tenant_allow_rule_of_an_isolated_tenant_needs_mtls() {
    assert_eq!(allow("isolated", "shared", false, false), ["tier_needs_mtls"]);
    assert_eq!(allow("shared", "isolated", false, false), ["tier_needs_mtls"]);
    assert!(allow("isolated", "shared", false, true).is_empty());
}

/// Seed defect 9: a check that held for two classes was forgotten for the strictest.
#[test]
fn seed_9_a_stricter_tier_never_allows_what_a_looser_one_refuses() {
    for other in TIERS {
        for (platform, mtls) in [(false, false), (false, true), (true, false), (true, true)] {
            for pair in TIERS.windows(2) {
                let loose = allow(pair[0], other, platform, mtls);
                let strict = allow(pair[1], other, platform, mtls);
                assert!(loose.is_empty() || !strict.is_empty(), "{pair:?} {other} {platform} {mtls}");
            }
        }
    }
}

#[test]
fn deny_rules_and_traffic_inside_are_free_of_terms() {
    let mut documents = pair("dedicated", "isolated", false);
    documents.push(rule("deny", "tenant: from", "tenant: to", ", action: deny"));
    documents.push(rule("inside", "tenant: from", "tenant: from", ""));
    assert!(add(&Policy::default(), &documents).is_ok());
}

#[test]
fn a_tenant_that_grows_stricter_is_judged_anew_with_all_its_rules() {
    let mut documents = pair("shared", "shared", false);
    documents.push(rule("r", "tenant: from", "tenant: to", ""));
    let before = policy(&documents);
    let stricter = add(&before, &[tenant("from", 16, ", tier: isolated")]);
    assert_refused(stricter, "tier_needs_mtls", "rules[r].mtlsRequired");
    let dedicated = add(&before, &[tenant("from", 16, ", tier: dedicated")]);
    assert_refused(dedicated, "tier_forbids", "rules[r]");
}

#[test]
fn a_platform_service_that_stops_being_one_is_judged_anew() {
    let mut documents = pair("dedicated", "shared", true);
    documents.push(rule("r", "tenant: from", "tenant: to", ", mtlsRequired: true"));
    let before = policy(&documents);
    assert_refused(add(&before, &[tenant("to", 17, "")]), "tier_forbids", "rules[r]");
}

#[test]
fn a_rule_that_one_tenant_carries_is_a_warning() {
    let mut documents = pair("isolated", "shared", false);
    documents.push(rule("r", "tenant: from", "tenant: to", ", mtlsRequired: true, carriedBy: [from]"));
    let changed = add(&Policy::default(), &documents).unwrap();
    assert_eq!(changed.warnings.len(), 1);
    assert!(changed.warnings[0].contains("rules[r]") && changed.warnings[0].contains("'to'"));
}

#[test]
fn a_second_tenant_on_a_node_with_a_dedicated_tenant_is_refused() {
    let tenants = vec![
        tenant("alone", 16, ", tier: dedicated"),
        tenant("zebra", 17, ""),
        tenant("aard", 18, ""),
        tenant("dns", 19, ", platformService: true"),
    ];
    let on =
        |name: &str, tenant: &str, last: u8| workload(name, tenant, &format!("10.0.0.{last}"), ", node: n1");
    let before = policy(&[tenants, vec![on("a", "alone", 1), on("d", "dns", 2)]].concat());
    let outcome = add(&before, &[on("z", "zebra", 3)]);
    assert_refused(outcome, "dedicated_node_is_taken", "tenants[zebra]");
    assert!(add(&before, &[on("z", "zebra", 3), on("y", "aard", 4)]).is_err());
    assert!(add(&before, &[workload("z", "zebra", "10.0.0.3", ", node: n2")]).is_ok());
    assert!(add(&before, &[on("a2", "alone", 5)]).is_ok());
}

#[test]
fn a_tenant_cannot_become_dedicated_on_a_node_it_shares() {
    let before = policy(&[
        tenant("red", 16, ""),
        tenant("blue", 17, ""),
        workload("r", "red", "10.0.0.1", ""),
        workload("b", "blue", "10.0.0.2", ""),
    ]);
    let outcome = add(&before, &[tenant("red", 16, ", tier: dedicated")]);
    assert_refused(outcome, "dedicated_node_is_taken", "tenants[blue]");
}

#[test]
fn two_dedicated_tenants_never_share_a_node() {
    let outcome = add(
        &Policy::default(),
        &[
            tenant("red", 16, ", tier: dedicated"),
            tenant("blue", 17, ", tier: dedicated"),
            workload("r", "red", "10.0.0.1", ""),
            workload("b", "blue", "10.0.0.2", ""),
        ],
    );
    assert_refused(outcome, "dedicated_node_is_taken", "tenants[red]");
}
