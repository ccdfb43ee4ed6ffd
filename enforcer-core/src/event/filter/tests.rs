//! Each filter alone, and what is refused.

use super::*;
use crate::event::record::{DEVICE, FLOW, TUNNEL};

fn flow(source: &str, destination: &str, verdict: &str, reason: &str) -> v1::Record {
    let end =
        |identity: &str| Some(v1::Endpoint { identity: identity.to_owned(), ..v1::Endpoint::default() });
    v1::Record {
        r#type: FLOW.to_owned(),
        verdict: verdict.to_owned(),
        reason: reason.to_owned(),
        source: end(source),
        destination: end(destination),
        ..v1::Record::default()
    }
}

fn filter(change: impl FnOnce(&mut v1::ObserveRequest)) -> Filter {
    let mut request = v1::ObserveRequest::default();
    change(&mut request);
    Filter::parse(&request).unwrap()
}

fn refused(change: impl FnOnce(&mut v1::ObserveRequest)) -> Vec<FilterError> {
    let mut request = v1::ObserveRequest::default();
    change(&mut request);
    Filter::parse(&request).unwrap_err()
}

#[test]
fn a_tenant_is_found_at_either_end_and_nowhere_else() {
    let red = filter(|request| request.tenant = Some("red".to_owned()));
    assert!(red.passes(&flow("red", "blue", "deny", "")));
    assert!(red.passes(&flow("blue", "red", "deny", "")));
    assert!(!red.passes(&flow("blue", "green", "deny", "")));
    assert!(!red.passes(&v1::Record { r#type: DEVICE.to_owned(), ..v1::Record::default() }));
}

#[test]
fn every_word_must_agree() {
    let denied = filter(|request| {
        request.verdict = Some("deny".to_owned());
        request.reason = Some("cross_tenant_no_rule".to_owned());
    });
    assert!(denied.passes(&flow("a", "b", "deny", "cross_tenant_no_rule")));
    assert!(!denied.passes(&flow("a", "b", "audit", "cross_tenant_no_rule")));
    assert!(!denied.passes(&flow("a", "b", "deny", "rule_denied")));
}

#[test]
fn a_loss_passes_unless_another_type_was_asked_for_or_it_is_another_tenants() {
    let loss = v1::Record { r#type: LOSS.to_owned(), ..v1::Record::default() };
    assert!(filter(|request| request.verdict = Some("deny".to_owned())).passes(&loss));
    assert!(filter(|request| request.tenant = Some("red".to_owned())).passes(&loss));
    assert!(filter(|request| request.r#type = Some("loss".to_owned())).passes(&loss));
    assert!(!filter(|request| request.r#type = Some("flow".to_owned())).passes(&loss));
    let of_red = v1::Record { r#type: LOSS.to_owned(), ..flow("red", "", "", "") };
    assert!(filter(|request| request.tenant = Some("red".to_owned())).passes(&of_red));
    assert!(!filter(|request| request.tenant = Some("blue".to_owned())).passes(&of_red));
}

#[test]
fn what_comes_after_a_number_has_a_higher_one_and_a_streams_own_loss_has_none() {
    let after = filter(|request| request.after = Some(7));
    assert_eq!(after.after(), Some(7));
    let at = |sequence| v1::Record { sequence, ..flow("a", "b", "deny", "") };
    assert!(!after.passes(&at(7)));
    assert!(after.passes(&at(8)));
    assert!(after.passes(&v1::Record { r#type: LOSS.to_owned(), ..v1::Record::default() }));
    assert!(!after.passes(&v1::Record { r#type: LOSS.to_owned(), sequence: 7, ..v1::Record::default() }));
}

#[test]
fn a_tunnel_is_a_type_of_its_own() {
    let tunnels = filter(|request| request.r#type = Some("tunnel".to_owned()));
    let tunnel = v1::Record { r#type: TUNNEL.to_owned(), ..flow("red", "blue", "allow", "none") };
    assert!(tunnels.passes(&tunnel));
    assert!(!tunnels.passes(&flow("red", "blue", "allow", "none")));
}

/// A record that has everything.
fn full() -> v1::Record {
    let mut record = flow("red", "blue", "deny", "rule_denied");
    record.rule = "web-to-db".to_owned();
    if let Some(end) = record.source.as_mut() {
        end.workload = "web".to_owned();
        end.address = "10.1.2.3".to_owned();
        end.port = 40_000;
        end.svid_serial = "0a1b".to_owned();
    }
    if let Some(end) = record.destination.as_mut() {
        end.address = "fd00::7".to_owned();
        end.port = 443;
    }
    record.process =
        Some(v1::Process { pid: 77, executable: "/usr/bin/curl".to_owned(), ..v1::Process::default() });
    record.device = Some(v1::Device { class: "nvidia".to_owned(), ..v1::Device::default() });
    record.tunnel =
        Some(v1::TunnelFacts { destination_serial: "ff00".to_owned(), ..v1::TunnelFacts::default() });
    record
}

#[test]
fn each_filter_shows_what_agrees_and_hides_the_rest() {
    type Change = fn(&mut v1::ObserveRequest, &str);
    let cases: [(Change, &[&str], &[&str]); 9] = [
        (|r, w| r.workload = Some(w.to_owned()), &["web"], &["we", "red"]),
        (
            |r, w| r.address = Some(w.to_owned()),
            &["10.1.2.3", "10.1.0.0/16", "fd00::/8", "0.0.0.0/0"],
            &["10.1.2.4", "10.2.0.0/16", "fe80::/10"],
        ),
        (|r, w| r.port = w.parse().ok(), &["443", "40000"], &["44", "40001"]),
        (|r, w| r.pid = w.parse().ok(), &["77"], &["7"]),
        (|r, w| r.executable = Some(w.to_owned()), &["/usr/bin/curl", "curl"], &["/bin/curl", "url", "bin"]),
        (|r, w| r.device = Some(w.to_owned()), &["nvidia"], &["nvidiactl"]),
        (|r, w| r.rule = Some(w.to_owned()), &["web-to-db"], &["web"]),
        (
            |r, w| r.serial = Some(w.to_owned()),
            &["0a1b", "A1B", "0A:1B", "FF00", "00ff00"],
            &["ff", "a1", "1b0a"],
        ),
        (|r, w| r.tenant = Some(w.to_owned()), &["red", "blue"], &["green"]),
    ];
    for (change, shown, hidden) in cases {
        for word in shown {
            assert!(filter(|request| change(request, word)).passes(&full()), "{word}");
        }
        for word in hidden {
            assert!(!filter(|request| change(request, word)).passes(&full()), "{word}");
        }
        assert!(!filter(|request| change(request, shown[0])).passes(&v1::Record::default()), "{shown:?}");
    }
}

#[test]
fn every_word_without_meaning_is_an_error_of_its_own() {
    let errors = refused(|request| {
        request.tenant = Some(String::new());
        request.verdict = Some("drop".to_owned());
        request.reason = Some("none".to_owned());
        request.r#type = Some("packet".to_owned());
        request.workload = Some(String::new());
        request.address = Some("10.0.0.300".to_owned());
        request.port = Some(0);
        request.pid = Some(0);
        request.executable = Some("bin/sh".to_owned());
        request.device = Some(String::new());
        request.rule = Some(String::new());
        request.serial = Some("0x1".to_owned());
        request.last = Some(1);
        request.after = Some(1);
    });
    assert_eq!(
        errors,
        [
            FilterError::Verdict("drop".to_owned()),
            FilterError::Reason("none".to_owned()),
            FilterError::Type("packet".to_owned()),
            FilterError::Empty("tenant"),
            FilterError::Empty("workload"),
            FilterError::Empty("device"),
            FilterError::Empty("rule"),
            FilterError::Executable("bin/sh".to_owned()),
            FilterError::Pid,
            FilterError::LastAndAfter,
            FilterError::Address("10.0.0.300".to_owned()),
            FilterError::Port(0),
            FilterError::Serial("0x1".to_owned()),
        ]
    );
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let told =
        |errors: Vec<FilterError>| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    assert_eq!(
        told(refused(|request| request.address = Some("10.1.2.3/8".to_owned()))),
        "address \"10.1.2.3/8\" has bits behind its length; the prefix is 10.0.0.0/8"
    );
    assert_eq!(told(refused(|request| request.port = Some(65_536))), "port 65536 is not between 1 and 65535");
    for (kind, change) in [
        ("device", (|request| request.port = Some(1)) as fn(&mut v1::ObserveRequest)),
        ("policy", |request| request.pid = Some(1)),
        ("flow", |request| request.device = Some("nvidia".to_owned())),
        ("log", |request| request.executable = Some("sh".to_owned())),
    ] {
        let errors = refused(|request| {
            request.r#type = Some(kind.to_owned());
            change(request);
        });
        assert!(matches!(errors.as_slice(), [FilterError::Never { .. }]), "{errors:?}");
    }
    for serial in ["", "::", "12 34", &"1".repeat(41)] {
        assert_eq!(
            refused(|request| request.serial = Some(serial.to_owned())),
            [FilterError::Serial(serial.to_owned())]
        );
    }
    assert!(!refused(|request| request.r#type = Some("unknown-x".to_owned())).is_empty());
    assert!(
        Filter::parse(&v1::ObserveRequest { r#type: Some("unknown-9".to_owned()), ..Default::default() })
            .is_ok()
    );
}
