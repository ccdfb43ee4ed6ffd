//! Each pattern speaks at its threshold and not below.

use enforcer_proto::v1;

use super::*;

#[test]
fn operations_are_what_is_tried_and_not_how_it_goes_on() {
    let mut scene = Scene::new("{pattern: operations-per-hour, window: 1h, threshold: 4}");
    let state = v1::Record {
        flow: Some(v1::FlowFacts { event: "closed".to_owned(), ..v1::FlowFacts::default() }),
        ..flow("allow")
    };
    assert_eq!(scene.see_many(50, &state), 0);
    assert_eq!(scene.see_many(1, &flow("allow")), 0);
    assert_eq!(scene.see_many(1, &device("deny")), 0);
    let exec = v1::Record {
        r#type: "process".to_owned(),
        process: Some(v1::Process { identity: "red".to_owned(), ..v1::Process::default() }),
        note: Some(v1::Note { event: "exec".to_owned(), ..v1::Note::default() }),
        ..v1::Record::default()
    };
    assert_eq!(scene.see_many(1, &exec), 0);
    scene.pass(59 * MINUTE);
    let alerts = scene.see(flow("allow"));
    assert_eq!(alerts.len(), 1);
    assert_eq!(alerts[0].sentence(), "red: 4 operations within 1h; the threshold is 4");
}

#[test]
fn refusals_feed_failed_accesses_and_what_a_response_refused_does_not() {
    let mut scene = Scene::new("{pattern: failed-accesses, window: 10m, threshold: 5}");
    let held = v1::Record { reason: "response_denied".to_owned(), ..flow("deny") };
    assert_eq!(scene.see_many(100, &held), 0);
    assert_eq!(scene.see_many(100, &flow("allow")), 0);
    let denied = v1::Record {
        r#type: "identity".to_owned(),
        source: end("red", "web", "", 0),
        note: Some(v1::Note { event: "denied".to_owned(), ..v1::Note::default() }),
        ..v1::Record::default()
    };
    let refused = v1::Record { r#type: "tunnel".to_owned(), ..flow("deny") };
    assert_eq!(
        scene.see_many(1, &denied) + scene.see_many(1, &refused) + scene.see_many(2, &flow("deny")),
        0
    );
    assert_eq!(scene.see_many(1, &device("deny")), 1);
}

#[test]
fn one_identity_from_many_addresses_is_told_and_many_from_one_each_are_not() {
    let mut scene = Scene::new("{pattern: source-addresses, window: 1h, threshold: 3}");
    let from = |workload: &str, address: &str| v1::Record {
        source: end("red", workload, address, 1),
        ..flow("allow")
    };
    for host in 1..100 {
        assert!(scene.see(from(&format!("w{host}"), &format!("10.0.1.{host}"))).is_empty());
    }
    // Without a name it is nobody's.
    for host in 1..100 {
        assert!(scene.see(from("", &format!("10.0.2.{host}"))).is_empty());
    }
    assert!(scene.see(from("web", "10.0.0.1")).is_empty());
    assert!(scene.see(from("web", "10.0.0.1")).is_empty());
    assert!(scene.see(from("web", "fd00::1")).is_empty());
    let alerts = scene.see(from("web", "10.0.0.3"));
    assert_eq!(alerts[0].subject, "red/web");
    assert_eq!(alerts[0].culprit().map(AsRef::as_ref), Some("web"));
}

#[test]
fn hours_are_those_of_the_record_and_of_the_tenant() {
    let spec = "{pattern: unusual-hours, window: 1h, threshold: 1, cooldown: 1s,
      usual: {from: \"08:00\", to: \"18:00\", days: [mon, tue, wed, thu, fri]},
      overrides: [{tenant: tokyo, usual: {from: \"08:00\", to: \"18:00\", utcOffset: \"+09:00\"}}]}";
    let mut scene = Scene::new(spec);
    let tokyos = v1::Record { source: end("tokyo", "web", "10.0.0.9", 1), ..flow("allow") };
    let mut told = (Vec::new(), Vec::new());
    for hour in 0..24 {
        for (record, told) in [(flow("allow"), &mut told.0), (tokyos.clone(), &mut told.1)] {
            if !scene.see(record).is_empty() {
                told.push(hour);
            }
        }
        scene.pass(HOUR);
    }
    assert_eq!(told.0, (0..8).chain(18..24).collect::<Vec<_>>());
    assert_eq!(told.1, (9..23).collect::<Vec<_>>());
    // At three in the morning, a record of yesterday noon is no work at night.
    scene.pass(3 * HOUR);
    let noon = v1::Record { time: Some(timestamp(MONDAY + 12 * HOUR)), sequence: 9_999, ..flow("allow") };
    assert!(scene.engine.observe(&noon, scene.now, &party).is_empty());
}

#[test]
fn a_scan_of_ports_is_told_by_whom_and_of_whom() {
    let mut scene = Scene::new("{pattern: port-scan, window: 5m, threshold: 10}");
    let port = |port| v1::Record { destination: end("blue", "db", "10.0.0.2", port), ..flow("deny") };
    for _ in 0..50 {
        assert!(scene.see(port(443)).is_empty());
    }
    for number in 1..9 {
        assert!(scene.see(port(number)).is_empty());
    }
    // Another target begins anew.
    let elsewhere = v1::Record { destination: end("blue", "x", "10.0.0.3", 9), ..flow("deny") };
    assert!(scene.see(elsewhere).is_empty());
    let alerts = scene.see(port(9));
    assert_eq!(alerts[0].sentence(), "red/web -> 10.0.0.2: 10 ports within 5m; the threshold is 10");
}

#[test]
fn a_scan_of_hosts_counts_addresses_at_one_port() {
    let mut scene = Scene::new("{pattern: host-scan, window: 5m, threshold: 10}");
    let host = |host: u32, port| v1::Record {
        destination: end("blue", "", &format!("10.0.1.{host}"), port),
        ..flow("allow")
    };
    for number in 1..10 {
        assert!(scene.see(host(number, 22)).is_empty());
        assert!(scene.see(host(number, 1_000 + number)).is_empty());
    }
    assert_eq!(scene.see(host(10, 22))[0].subject, "red/web -> port 22");
}

#[test]
fn a_scan_from_outside_concerns_the_tenant_that_is_scanned() {
    let mut scene = Scene::new("{pattern: port-scan, window: 5m, threshold: 3, response: {kind: deny-new}}");
    let port = |port| v1::Record {
        source: end("world", "", "203.0.113.7", 999),
        destination: end("blue", "db", "10.0.0.2", port),
        ..flow("deny")
    };
    let alerts: Vec<_> = (1..4).flat_map(|number| scene.see(port(number))).collect();
    assert_eq!(alerts.len(), 1);
    assert_eq!((&*alerts[0].tenant, alerts[0].party), ("blue", Party::Outside));
    assert_eq!(alerts[0].subject, "203.0.113.7 (outside, upon blue) -> 10.0.0.2");
}

#[test]
fn refusals_are_counted_by_process_and_a_number_used_again_is_another() {
    let mut scene = Scene::new("{pattern: refusals-per-process, window: 5m, threshold: 3}");
    let by = |pid, start_boot_ns| v1::Record {
        process: Some(v1::Process { pid, start_boot_ns, command: "nc".to_owned(), ..v1::Process::default() }),
        ..flow("deny")
    };
    assert_eq!(scene.see_many(2, &by(7, 1)) + scene.see_many(2, &by(7, 2)) + scene.see_many(2, &by(8, 1)), 0);
    assert_eq!(scene.see_many(9, &flow("deny")), 0);
    // Who was spoken to has done nothing.
    let mut of_blue = by(7, 2);
    of_blue.process = of_blue.process.map(|one| v1::Process { identity: "blue".to_owned(), ..one });
    assert_eq!(scene.see_many(9, &of_blue), 0);
    assert_eq!(scene.see_many(9, &v1::Record { hook: "socket_ingress".to_owned(), ..by(7, 2) }), 0);
    let alerts = scene.see(by(7, 2));
    assert_eq!(alerts[0].subject, "red/web process 7 (nc)");
    assert_eq!(alerts[0].process.as_ref().map(|process| process.start_boot_ns), Some(2));
}

#[test]
fn device_churn_counts_opens_allowed_or_not() {
    let mut scene = Scene::new("{pattern: device-churn, window: 10m, threshold: 4, per: workload}");
    assert_eq!(scene.see_many(3, &device("allow")), 0);
    assert_eq!(scene.see_many(30, &flow("allow")), 0);
    let other = v1::Record { source: end("red", "batch", "", 0), ..device("allow") };
    assert_eq!(scene.see_many(3, &other), 0);
    let alerts = scene.see(device("deny"));
    assert_eq!((alerts[0].subject.as_str(), alerts[0].culprit().is_some()), ("red/web", true));
}

#[test]
fn volume_adds_bytes_up() {
    let mut scene = Scene::new("{pattern: volume, window: 1h, threshold: 1000}");
    assert_eq!(scene.see_many(1, &totals(999)), 0);
    assert_eq!(scene.see_many(1, &totals(0)), 0);
    // What was refused was not sent, and what arrives was counted when it left.
    assert_eq!(scene.see_many(1, &v1::Record { verdict: "deny".to_owned(), ..totals(5_000) }), 0);
    assert_eq!(scene.see_many(1, &v1::Record { hook: "to_workload".to_owned(), ..totals(5_000) }), 0);
    assert_eq!(scene.see(totals(1))[0].value, 1_000);
}

#[test]
fn a_tenant_may_have_terms_of_its_own_and_a_rule_tenants_of_its_own() {
    let spec = "{pattern: failed-accesses, window: 10m, threshold: 5, tenants: [red, blue],
      overrides: [{tenant: blue, threshold: 2, response: {kind: deny-new}, level: high}]}";
    let mut scene = Scene::new(spec);
    let of = |tenant: &str| v1::Record { source: end(tenant, "w", "10.0.0.1", 1), ..flow("deny") };
    assert_eq!(scene.see_many(4, &of("red")), 0);
    assert_eq!(scene.see_many(1, &of("blue")), 0);
    let blues = scene.see(of("blue"));
    assert_eq!((blues[0].limit, blues[0].terms.action), (2, Action::DenyNew));
    assert_eq!(scene.see(of("red"))[0].terms.action, Action::Alert);
    assert_eq!(scene.see_many(100, &of("green")), 0);
}

#[test]
fn the_platform_is_looked_at_only_where_the_rule_says_so() {
    let hosts = v1::Record { source: end("host", "", "10.0.0.254", 1), ..flow("deny") };
    let mut scene = Scene::new("{pattern: failed-accesses, threshold: 2}");
    assert_eq!(scene.see_many(10, &hosts), 0);
    let mut scene = Scene::new("{pattern: failed-accesses, threshold: 2, platform: true}");
    assert_eq!(scene.see_many(10, &hosts), 1);
    // A service with a tenant's name is not that tenant.
    let mut scene = Scene::new("{pattern: failed-accesses, threshold: 6, platform: true}");
    let service = v1::Endpoint { of_node: true, ..end("red", "", "", 0).unwrap() };
    let services = v1::Record { source: Some(service), ..device("deny") };
    assert_eq!(scene.see_many(5, &services) + scene.see_many(5, &device("deny")), 0);
    let alert = scene.see(services).remove(0);
    assert_eq!((alert.party, alert.of_node), (Party::Platform, true));
    assert!(alert.record("n1").source.unwrap().of_node);
}

#[test]
fn an_alert_goes_on_record_with_its_numbers() {
    let mut scene = Scene::new("{pattern: failed-accesses, window: 10m, threshold: 1, level: high}");
    let record = scene.see(flow("deny"))[0].record("n1");
    let note = record.note.unwrap();
    assert_eq!(
        (record.r#type.as_str(), note.event.as_str(), note.level.as_str()),
        ("alert", "raised", "high")
    );
    assert_eq!((note.subject.as_str(), record.node.as_str()), ("it", "n1"));
    assert_eq!(record.source.map(|end| (end.identity, end.workload)), Some(("red".into(), "web".into())));
    assert!(note.fields.iter().any(|field| field.name == "sequence" && field.value == "1"));
    assert!(note.message.contains("1 refused operations within 10m"), "{}", note.message);
    // What is told of alerts is never counted.
    let alert = v1::Record { r#type: "alert".to_owned(), ..flow("deny") };
    assert!(scene.see(alert).is_empty());
}
