use enforcer_proto::hubble::flow::DropReason;

use super::super::stage::{denied, end, names, record};
use super::*;

fn shown(record: &v1::Record) -> Flow {
    flow(record, &names()).unwrap()
}

fn event(flow: &Flow) -> (i32, i32) {
    let event = flow.event_type.unwrap();
    (event.r#type, event.sub_type)
}

fn at(hook: u8, record: v1::Record) -> v1::Record {
    v1::Record { hook: hook_name(hook).to_owned(), ..record }
}

fn rules(list: &[Policy]) -> Vec<(&str, &str, &str, u64)> {
    list.iter().map(|rule| (&*rule.name, &*rule.namespace, &*rule.kind, rule.revision)).collect()
}

#[test]
fn an_allowed_first_packet_is_a_forwarded_policy_verdict() {
    let flow = shown(&record());
    assert_eq!(flow.verdict(), Verdict::Forwarded);
    assert_eq!(event(&flow), (5, 0));
    assert_eq!(flow.time, record().time);
    assert_eq!(flow.node_name, "n1");
    assert_eq!(flow.r#type, 1);
    assert_eq!(flow.traffic_direction(), TrafficDirection::Egress);
    assert_eq!(flow.is_reply, Some(false));
    assert_eq!((flow.socket_cookie, flow.cgroup_id), (99, 4_321));
    assert_eq!(flow.policy_match_type, 2);
    assert_eq!((flow.drop_reason, flow.drop_reason_desc()), (0, DropReason::Unknown));
    assert_eq!(rules(&flow.egress_allowed_by), [("web-to-db", "blue", "TenantPolicy", 3)]);
    assert!(flow.ingress_allowed_by.is_empty() && flow.egress_denied_by.is_empty());
    assert_eq!(flow.emitter.unwrap().name, "enforcer");
    assert_eq!(flow.extensions, None);
    let ip = flow.ip.unwrap();
    assert_eq!(
        (&*ip.source, &*ip.destination, ip.ip_version, ip.encrypted),
        ("10.0.0.1", "10.0.0.2", 1, false)
    );
    let (source, destination) = (flow.source.unwrap(), flow.destination.unwrap());
    assert_eq!((&*source.namespace, &*source.pod_name, source.identity), ("shop", "web-0", 70_001));
    assert_eq!((&*destination.namespace, &*destination.pod_name), ("blue", "db-0"));
}

#[test]
fn a_packet_that_is_refused_is_a_drop_with_its_reason() {
    for hook in [HOOK_FROM_WORKLOAD, HOOK_TO_WORKLOAD, HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS] {
        let flow = shown(&at(hook, denied()));
        assert_eq!(flow.verdict(), Verdict::Dropped);
        assert_eq!(event(&flow), (1, 181));
        assert_eq!((flow.drop_reason, flow.drop_reason_desc()), (181, DropReason::PolicyDeny));
        assert_eq!((flow.is_reply, flow.policy_match_type), (None, 0));
    }
}

#[test]
fn a_socket_that_may_not_connect_is_a_denied_policy_verdict() {
    for hook in [HOOK_CONNECT, HOOK_SENDMSG] {
        let flow = shown(&at(hook, denied()));
        assert_eq!((flow.verdict(), event(&flow)), (Verdict::Dropped, (5, 0)));
        assert_eq!(flow.drop_reason_desc(), DropReason::PolicyDeny);
        assert_eq!(rules(&flow.egress_denied_by), [("deny-xtenant", "blue", "TenantPolicy", 3)]);
        assert_eq!(flow.policy_match_type, 1);
    }
}

#[test]
fn the_side_of_a_rule_follows_the_direction() {
    let flow = shown(&at(HOOK_TO_WORKLOAD, denied()));
    assert_eq!(flow.traffic_direction(), TrafficDirection::Ingress);
    assert_eq!(rules(&flow.ingress_denied_by), [("deny-xtenant", "blue", "TenantPolicy", 3)]);
    assert!(flow.egress_denied_by.is_empty());
    let flow = shown(&at(HOOK_SOCKET_INGRESS, record()));
    assert_eq!(rules(&flow.ingress_allowed_by), [("web-to-db", "blue", "TenantPolicy", 3)]);
    let unknown = v1::Record { hook: "elsewhere".to_owned(), ..record() };
    assert_eq!(shown(&unknown).traffic_direction(), TrafficDirection::Egress);
}

#[test]
fn defaults_are_no_policies() {
    let flow = shown(&v1::Record { rule: "intra-tenant".to_owned(), ..record() });
    assert!(flow.egress_allowed_by.is_empty());
    assert_eq!(flow.policy_match_type, 0);
}

#[test]
fn match_types_say_what_a_rule_looked_at() {
    let of = |rule: &str| shown(&v1::Record { rule: rule.to_owned(), ..record() }).policy_match_type;
    assert_eq!([of("deny-xtenant"), of("web-to-db"), of("all-tcp"), of("rule-17")], [1, 2, 5, 0]);
}

#[test]
fn what_is_audited_is_an_audit_with_the_rule_that_would_deny() {
    let audited = shown(&v1::Record { verdict: "audit".to_owned(), ..denied() });
    assert_eq!((audited.verdict(), event(&audited)), (Verdict::Audit, (5, 0)));
    assert_eq!(rules(&audited.egress_denied_by), [("deny-xtenant", "blue", "TenantPolicy", 3)]);
    assert!(audited.summary.starts_with("would-deny by blue/deny-xtenant"));
    let shadowed = shown(&v1::Record { shadow_rule: "deny-xtenant".to_owned(), ..record() });
    assert_eq!(shadowed.verdict(), Verdict::Audit);
    assert_eq!(rules(&shadowed.egress_denied_by), [("deny-xtenant", "blue", "TenantPolicy", 3)]);
    assert!(shadowed.egress_allowed_by.is_empty());
}

#[test]
fn what_a_connection_does_later_is_a_trace() {
    let state = v1::FlowFacts { event: "state".to_owned(), ..v1::FlowFacts::default() };
    let later = v1::Record { flow: Some(state), verdict: String::new(), ..record() };
    let flow = shown(&later);
    assert_eq!((flow.verdict(), event(&flow)), (Verdict::Forwarded, (4, 5)));
    assert_eq!(flow.trace_observation_point(), TraceObservationPoint::FromEndpoint);
    assert_eq!(flow.trace_reason(), TraceReason::Established);
    let flow = shown(&at(HOOK_TO_WORKLOAD, later));
    assert_eq!(event(&flow), (4, 0));
    assert_eq!(flow.trace_observation_point, 101);
}

fn tunnel(event: &str, direction: &str, verdict: &str) -> v1::Record {
    let facts = v1::TunnelFacts {
        event: event.to_owned(),
        direction: direction.to_owned(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        cookie: 55,
        ..v1::TunnelFacts::default()
    };
    v1::Record {
        r#type: "tunnel".to_owned(),
        hook: "tunnel".to_owned(),
        verdict: verdict.to_owned(),
        tunnel: Some(facts),
        cookie: 0,
        ..record()
    }
}

#[test]
fn a_tunnelled_flow_is_encrypted_and_has_its_trace() {
    let opened = shown(&tunnel("opened", "outbound", "allow"));
    assert_eq!((opened.verdict(), event(&opened)), (Verdict::Forwarded, (5, 0)));
    assert!(opened.ip.unwrap().encrypted);
    assert_eq!(opened.trace_context.unwrap().parent.unwrap().trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(opened.socket_cookie, 55);
    let closed = shown(&tunnel("closed", "inbound", "allow"));
    assert_eq!((closed.traffic_direction(), event(&closed)), (TrafficDirection::Ingress, (4, 9)));
    let refused =
        v1::Record { reason: "tunnel_certificate".to_owned(), ..tunnel("refused", "outbound", "deny") };
    let refused = shown(&refused);
    assert_eq!((refused.verdict(), event(&refused)), (Verdict::Dropped, (1, 189)));
    assert!(!refused.ip.unwrap().encrypted, "nothing was carried");
}

#[test]
fn nothing_but_flows_is_a_flow() {
    for kind in crate::event::record::TYPES.iter().filter(|kind| !matches!(**kind, "flow" | "tunnel")) {
        assert_eq!(flow(&v1::Record { r#type: (*kind).to_owned(), ..record() }, &names()), None, "{kind}");
    }
    assert_eq!(flow(&v1::Record { r#type: "unknown-9".to_owned(), ..record() }, &names()), None);
}

#[test]
fn a_half_has_no_address_of_the_other_end() {
    let half = v1::Record {
        destination: Some(end("another tenant", "", "", 80)),
        rule: String::new(),
        rule_owner: String::new(),
        half: true,
        ..record()
    };
    let flow = shown(&half);
    let ip = flow.ip.unwrap();
    assert_eq!((&*ip.source, &*ip.destination, ip.ip_version), ("10.0.0.1", "", 1));
    assert_eq!(flow.destination.unwrap().pod_name, "another tenant");
    assert!(flow.egress_allowed_by.is_empty());
    let blind = v1::Record { source: Some(end("red", "", "", 0)), ..half };
    assert_eq!(shown(&blind).ip, None);
}

#[test]
fn a_loss_is_told_with_the_node_and_a_flow_is_none() {
    let time = prost_types::Timestamp { seconds: 7, nanos: 0 };
    let loss = crate::event::sequence::loss("n1", "event_full", 3, time);
    let response = lost_response(&loss, &names()).unwrap();
    assert_eq!((&*response.node_name, response.time), ("n1", Some(time)));
    assert!(
        matches!(response.response_types, Some(ResponseTypes::LostEvents(event)) if event.num_events_lost == 3)
    );
    assert_eq!(lost_response(&record(), &names()), None);
}
