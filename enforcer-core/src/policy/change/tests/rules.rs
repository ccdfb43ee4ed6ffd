//! Rules by themselves.

use super::*;
use crate::policy::model::{PortRange, Protocol};

fn two() -> [String; 2] {
    [tenant("red", 16, ""), tenant("blue", 17, "")]
}

fn with(document: String) -> Result<Changed, Vec<Problem>> {
    let [red, blue] = two();
    add(&Policy::default(), &[red, blue, document])
}

#[test]
fn a_rule_in_which_no_side_is_a_tenant_is_refused() {
    assert_refused(with(rule("a", "host: {}", "world: {}", "")), "no_tenant_side", "rules[a]");
}

#[test]
fn rules_that_name_nobody_are_refused() {
    assert_refused(with(rule("a", "", "tenant: red", "")), "names_nobody", "rules[a].from");
    let nobody = v1::Rule {
        name: "a".to_owned(),
        from: Some(v1::Peer { who: None }),
        to: None,
        action: 1,
        mode: 1,
        ..v1::Rule::default()
    };
    let snapshot = v1::Snapshot { rules: vec![nobody], ..v1::Snapshot::default() };
    let found = refused(apply(&Policy::default(), &Change::Snapshot(snapshot), NOW));
    assert_eq!(
        found,
        [("names_nobody", "rules[a].from".to_owned()), ("names_nobody", "rules[a].to".to_owned())]
    );
}

#[test]
fn only_a_side_of_a_rule_can_carry_it() {
    let document = rule("a", "tenant: red", "tenant: blue", ", carriedBy: [green]");
    assert_refused(with(document), "carrier_is_no_side", "rules[a].carriedBy[0]");
}

#[test]
fn mutual_tls_always_needs_mutual_tls() {
    for alone in [", mtlsAlways: true", ", mtlsAlways: true, mtlsRequired: false"] {
        let outcome = with(rule("a", "tenant: red", "tenant: blue", alone));
        let problem = outcome.as_ref().unwrap_err().first().unwrap();
        assert_eq!((problem.file.as_deref(), problem.line), (Some("test.yaml"), Some(14)), "{problem:?}");
        assert_refused(outcome, "always_without_mtls", "rules[a].mtlsAlways");
    }
    let both = with(rule("a", "tenant: red", "tenant: blue", ", mtlsAlways: true, mtlsRequired: true"));
    let policy = both.unwrap().policy;
    let rule = policy.rules.get("a").unwrap();
    assert!(rule.mtls_required && rule.mtls_always);
}

#[test]
fn ports_become_ranges() {
    let ports = ", ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 1, endPort: 9}, {protocol: SCTP}, {protocol: ICMP, icmpType: 8}, {protocol: ICMPv6, icmpType: 1, icmpCode: 4}]";
    let policy = with(rule("a", "tenant: red", "tenant: blue", ports)).unwrap().policy;
    let rule = policy.rules.get("a").unwrap();
    let range = |protocol, first, last| PortRange { protocol, first, last };
    assert_eq!(
        rule.ports.as_deref().unwrap(),
        [
            range(Protocol::Tcp, 80, 80),
            range(Protocol::Udp, 1, 9),
            range(Protocol::Sctp, 0, 65_535),
            range(Protocol::Icmp, 0x0800, 0x08ff),
            range(Protocol::Icmpv6, 0x0104, 0x0104),
        ]
    );
}

#[test]
fn bad_ports_are_refused_one_by_one() {
    let ports = ", ports: [{protocol: TCP, port: 9, endPort: 8}, {protocol: TCP, port: 0}, {protocol: TCP, port: 65536}, {protocol: TCP, endPort: 1}, {protocol: ICMP, port: 1}, {protocol: UDP, icmpType: 1}, {protocol: ICMP, icmpCode: 1}, {protocol: ICMP, icmpType: 256}]";
    let found = refused(with(rule("a", "tenant: red", "tenant: blue", ports)));
    let expected = [
        ("range_upside_down", "[0].endPort"),
        ("out_of_range", "[1].port"),
        ("out_of_range", "[2].port"),
        ("missing_field", "[3].port"),
        ("field_not_of_protocol", "[4].port"),
        ("field_not_of_protocol", "[5].icmpType"),
        ("missing_field", "[6].icmpType"),
        ("out_of_range", "[7].icmpType"),
    ];
    let expected = expected.map(|(code, tail)| (code, format!("rules[a].ports{tail}")));
    assert_eq!(found, expected);
}

#[test]
fn an_empty_list_of_ports_is_no_list_of_all_ports() {
    assert_refused(
        with(rule("a", "tenant: red", "tenant: blue", ", ports: []")),
        "empty_list",
        "rules[a].ports",
    );
    let mut snapshot = crate::policy::wire::snapshot(&policy(&two()));
    snapshot.rules.push(v1::Rule {
        name: "a".to_owned(),
        from: Some(v1::Peer { who: Some(v1::peer::Who::Tenant("red".to_owned())) }),
        to: Some(v1::Peer { who: Some(v1::peer::Who::World(v1::Everything {})) }),
        ports: Some(v1::PortList { items: Vec::new() }),
        action: 1,
        mode: 1,
        ..v1::Rule::default()
    });
    assert_refused(
        apply(&Policy::default(), &Change::Snapshot(snapshot), NOW),
        "empty_list",
        "rules[a].ports",
    );
}

#[test]
fn more_ports_than_the_limit_are_refused() {
    let ports = vec!["{protocol: TCP, port: 1}"; 257].join(", ");
    let document = rule("a", "tenant: red", "tenant: blue", &format!(", ports: [{ports}]"));
    assert_refused(with(document), "too_many", "rules[a].ports");
}
