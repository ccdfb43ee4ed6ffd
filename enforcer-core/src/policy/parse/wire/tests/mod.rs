//! Tests of the wire door: what one object can get wrong by itself.

use prost_types::{Duration, Timestamp};

use super::*;

const NOW: u64 = 1_000_000_000_000;

fn codes(message: v1::Snapshot) -> Vec<(&'static str, String)> {
    match snapshot(&message, NOW) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(|problem| (problem.code, problem.path)).collect(),
    }
}

#[track_caller]
fn assert_one(message: v1::Snapshot, code: &str, path: &str) {
    assert_eq!(codes(message), [(code, path.to_owned())].map(|(code, path)| (code, path)));
}

fn tenant() -> v1::Tenant {
    v1::Tenant {
        name: "red".to_owned(),
        id: 16,
        tier: 1,
        data_classification: 1,
        mode: 1,
        ..Default::default()
    }
}

fn tenants(tenant: v1::Tenant) -> v1::Snapshot {
    v1::Snapshot { tenants: vec![tenant], ..v1::Snapshot::default() }
}

fn binding(address: &str) -> v1::Binding {
    v1::Binding {
        address: address.to_owned(),
        generation: 1,
        holder: Some(v1::binding::Holder::Tenant("red".to_owned())),
        ..v1::Binding::default()
    }
}

fn bindings(binding: v1::Binding) -> v1::Snapshot {
    v1::Snapshot { bindings: vec![binding], ..v1::Snapshot::default() }
}

fn workload() -> v1::Workload {
    v1::Workload {
        name: "web".to_owned(),
        tenant: "red".to_owned(),
        cgroup: Some("/red/web".to_owned()),
        addresses: vec!["10.0.0.1".to_owned()],
        ..v1::Workload::default()
    }
}

fn workloads(workload: v1::Workload) -> v1::Snapshot {
    v1::Snapshot { workloads: vec![workload], ..v1::Snapshot::default() }
}

fn egress(cidr: &str, except: &[&str]) -> v1::Snapshot {
    let except = except.iter().map(|text| (*text).to_owned()).collect();
    let ip_block = Some(v1::IpBlock { cidr: cidr.to_owned(), except });
    tenants(v1::Tenant { egress: vec![v1::EgressRule { ip_block, ports: None }], ..tenant() })
}

#[test]
fn whole_objects_are_accepted() {
    assert_eq!(codes(tenants(tenant())), []);
    assert_eq!(codes(workloads(workload())), []);
    assert_eq!(codes(bindings(binding("2001:db8::1"))), []);
    assert_eq!(codes(egress("0.0.0.0/0", &["10.0.0.0/8", "0.0.0.0/1"])), []);
}

#[test]
fn names_are_dns_1123() {
    for name in ["Red", "-red", "red-", "r_d", "r.d", "r\u{e9}d", "red ", &"r".repeat(64)] {
        let path = format!("tenants[{}].name", crate::policy::problem::shown(name));
        assert_one(tenants(v1::Tenant { name: name.to_owned(), ..tenant() }), "invalid_name", &path);
    }
    assert_one(tenants(v1::Tenant { name: String::new(), ..tenant() }), "missing_field", "tenants[0].name");
    assert_one(
        tenants(v1::Tenant { name: "world".to_owned(), ..tenant() }),
        "reserved_name",
        "tenants[world].name",
    );
    let dotted = v1::Workload { name: "web.red".to_owned(), ..workload() };
    assert_eq!(codes(workloads(dotted)), []);
    let empty_label = v1::Workload { name: "web..red".to_owned(), ..workload() };
    assert_one(workloads(empty_label), "invalid_name", "workloads[web..red].name");
}

#[test]
fn ids_are_those_of_tenants() {
    for id in [0, 15, 0x0100_0000, u32::MAX] {
        assert_one(tenants(v1::Tenant { id, ..tenant() }), "id_out_of_range", "tenants[red].id");
    }
}

#[test]
fn enum_values_are_stated_and_known() {
    assert_one(tenants(v1::Tenant { tier: 0, ..tenant() }), "missing_field", "tenants[red].tier");
    assert_one(tenants(v1::Tenant { tier: 5, ..tenant() }), "unknown_value", "tenants[red].tier");
    assert_one(tenants(v1::Tenant { mode: -1, ..tenant() }), "unknown_value", "tenants[red].mode");
    assert_one(
        tenants(v1::Tenant { data_classification: 0, ..tenant() }),
        "missing_field",
        "tenants[red].dataClassification",
    );
    let twice = v1::Workload { encapsulations: vec![1, 1], ..workload() };
    assert_one(workloads(twice), "duplicate_item", "workloads[web].encapsulations[1]");
}

#[test]
fn cidrs_are_canonical_and_exceptions_inside() {
    let cidr = "tenants[red].egress[0].ipBlock.cidr";
    assert_one(egress("10.0.0.1/8", &[]), "cidr_host_bits", cidr);
    assert_one(egress("2001:db8::1/32", &[]), "cidr_host_bits", cidr);
    for wrong in ["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "::/129", "all", "10.0.0.0/8 ", "010.0.0.0/8"] {
        assert_one(egress(wrong, &[]), "invalid_cidr", cidr);
    }
    assert_one(egress("", &[]), "missing_field", cidr);
    assert_one(egress("::ffff:10.0.0.0/104", &[]), "mapped_address", cidr);
    let except = "tenants[red].egress[0].ipBlock.except[0]";
    for wrong in ["10.0.0.0/8", "0.0.0.0/0", "11.0.0.0/16", "2001:db8::/32"] {
        assert_one(egress("10.0.0.0/8", &[wrong]), "except_outside_cidr", except);
    }
    assert_one(
        egress("10.0.0.0/8", &["10.1.0.0/16", "10.1.0.0/16"]),
        "duplicate_item",
        "tenants[red].egress[0].ipBlock.except",
    );
    let missing = v1::Tenant { egress: vec![v1::EgressRule::default()], ..tenant() };
    assert_one(tenants(missing), "missing_field", "tenants[red].egress[0].ipBlock");
}

#[test]
fn addresses_that_nobody_can_hold_are_refused() {
    for (address, code) in [
        ("0.0.0.0", "special_address"),
        ("::", "special_address"),
        ("224.0.0.1", "special_address"),
        ("ff02::1", "special_address"),
        ("127.0.0.1", "special_address"),
        ("::1", "special_address"),
        ("255.255.255.255", "special_address"),
        ("::ffff:10.0.0.1", "mapped_address"),
        ("10.0.0.1/32", "invalid_address"),
        ("10.0.0.256", "invalid_address"),
        ("fe80::1%eth0", "invalid_address"),
        ("web", "invalid_address"),
    ] {
        assert_one(bindings(binding(address)), code, &format!("bindings[{address}].address"));
        let workload = v1::Workload { addresses: vec![address.to_owned()], ..workload() };
        assert_one(workloads(workload), code, "workloads[web].addresses[0]");
    }
}

#[test]
fn leases_are_stated_once_and_make_sense() {
    let lease = |seconds, nanos| Some(Duration { seconds, nanos });
    let until = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let both = v1::Binding { lease: lease(1, 0), lease_until: until(1, 0), ..binding("10.0.0.1") };
    assert_one(bindings(both), "lease_twice", "bindings[10.0.0.1].lease");
    for wrong in [lease(0, 0), lease(-1, 0), lease(1, -1), lease(0, 1_000_000_000), lease(i64::MAX, 0)] {
        let binding = v1::Binding { lease: wrong, ..binding("10.0.0.1") };
        assert_one(bindings(binding), "invalid_lease", "bindings[10.0.0.1].lease");
    }
    for wrong in [until(-1, 0), until(0, -1), until(i64::MAX, 0)] {
        let binding = v1::Binding { lease_until: wrong, ..binding("10.0.0.1") };
        assert_one(bindings(binding), "invalid_lease", "bindings[10.0.0.1].leaseUntil");
    }
    let message = bindings(v1::Binding { lease: lease(1, 5), ..binding("10.0.0.1") });
    assert_eq!(snapshot(&message, NOW).unwrap().bindings[0].lease_until, Some(NOW + 1_000_000_005));
}

#[test]
fn a_binding_has_a_holder_and_a_generation() {
    assert_one(
        bindings(v1::Binding { holder: None, ..binding("10.0.0.1") }),
        "names_nobody",
        "bindings[10.0.0.1]",
    );
    let zero = v1::Binding { generation: 0, ..binding("10.0.0.1") };
    assert_one(bindings(zero), "missing_field", "bindings[10.0.0.1].generation");
}

#[test]
fn a_workload_can_be_found_on_its_node() {
    let nowhere = v1::Workload { cgroup: None, ..workload() };
    assert_one(workloads(nowhere.clone()), "workload_without_place", "workloads[web]");
    let elsewhere = v1::Workload { node: Some("n2".to_owned()), ..nowhere };
    assert_eq!(codes(workloads(elsewhere)), []);
    let silent = v1::Workload { addresses: Vec::new(), ..workload() };
    assert_one(workloads(silent.clone()), "addresses_missing", "workloads[web].addresses");
    let host = v1::Workload { host_network: true, ..silent };
    assert_eq!(codes(workloads(host.clone())), []);
    let lost = v1::Workload { cgroup: None, node: Some("n2".to_owned()), ..host.clone() };
    assert_one(workloads(lost), "host_network_needs_cgroup", "workloads[web].cgroup");
    let both = v1::Workload { host_network: true, ..workload() };
    assert_one(workloads(both), "host_network_has_no_own", "workloads[web].hostNetwork");
    let leased = v1::Workload { lease: Some(prost_types::Duration { seconds: 60, nanos: 0 }), ..host };
    assert_one(workloads(leased), "host_network_has_no_lease", "workloads[web].lease");
}

#[test]
fn paths_have_no_detours() {
    for path in [
        "",
        "/",
        "red",
        "/red/",
        "/red/../blue",
        "/./red",
        "//red",
        "/red\n",
        &format!("/{}", "r".repeat(4_095)),
    ] {
        let workload = v1::Workload { cgroup: Some(path.to_owned()), ..workload() };
        assert_one(workloads(workload), "invalid_path", "workloads[web].cgroup");
    }
    for name in ["", ".", "a/b", "a b", "a:b", "sixteen-letters-"] {
        let workload = v1::Workload { interface: Some(name.to_owned()), ..workload() };
        assert_one(workloads(workload), "invalid_interface", "workloads[web].interface");
    }
}

fn rules(rule: v1::Rule) -> v1::Snapshot {
    v1::Snapshot { rules: vec![rule], ..v1::Snapshot::default() }
}

fn rule() -> v1::Rule {
    let side = |name: &str| Some(v1::Peer { who: Some(v1::peer::Who::Tenant(name.to_owned())) });
    v1::Rule {
        name: "r".to_owned(),
        from: side("red"),
        to: side("blue"),
        action: 1,
        mode: 1,
        ..v1::Rule::default()
    }
}

#[test]
fn mutual_tls_always_is_mutual_tls() {
    for (mtls_required, mtls_always) in [(false, false), (true, false), (true, true)] {
        let message = rules(v1::Rule { mtls_required, mtls_always, ..rule() });
        let parsed = snapshot(&message, NOW).unwrap();
        let found: Vec<_> = parsed.rules.iter().map(|rule| (rule.mtls_required, rule.mtls_always)).collect();
        assert_eq!(found, [(mtls_required, mtls_always)]);
    }
    for action in [1, 2] {
        let message = rules(v1::Rule { mtls_always: true, action, ..rule() });
        assert_one(message, "always_without_mtls", "rules[r].mtlsAlways");
    }
}

#[test]
fn lists_have_bounds() {
    let addresses: Vec<String> = (1..=65).map(|last| format!("10.0.0.{last}")).collect();
    assert_one(workloads(v1::Workload { addresses, ..workload() }), "too_many", "workloads[web].addresses");
    let except: Vec<String> = (0..257).map(|net| format!("10.{}.{}.0/24", net / 256, net % 256)).collect();
    let except: Vec<&str> = except.iter().map(String::as_str).collect();
    assert_one(egress("10.0.0.0/8", &except), "too_many", "tenants[red].egress[0].ipBlock.except");
    let flood =
        v1::Snapshot { tenants: vec![v1::Tenant::default(); MAX_TENANTS + 1], ..v1::Snapshot::default() };
    assert_one(flood, "too_many", "tenants");
}

#[test]
fn every_mistake_of_an_object_is_reported_at_once() {
    let message = v1::Snapshot {
        workloads: vec![v1::Workload {
            tenant: "Red".to_owned(),
            cgroup: Some("x".to_owned()),
            addresses: vec!["::".to_owned(), "10.0.0.1".to_owned(), "10.0.0.1".to_owned()],
            ..workload()
        }],
        ..v1::Snapshot::default()
    };
    let found: Vec<&str> = codes(message).into_iter().map(|(code, _)| code).collect();
    assert_eq!(found, ["invalid_name", "invalid_path", "special_address", "duplicate_item"]);
}
