//! Names and numbers, which are the interface: as the reference page has them, and as bytes.

use enforcer_proto::hubble::flow::{Endpoint, Flow, FlowFilter, LostEvent, Policy, TcpFlags, flow_filter};
use enforcer_proto::hubble::observer::get_flows_response::ResponseTypes;
use enforcer_proto::hubble::observer::{GetFlowsRequest, GetFlowsResponse, ServerStatusResponse};
use enforcer_proto::hubble::peer::{ChangeNotification, Tls};
use enforcer_proto::hubble::{DESCRIPTOR, SCHEMA, flow};
use prost::Message as _;
use prost_types::FileDescriptorSet;

/// `name number`, in the order of the page.
const FIELDS: &[(&str, &str)] = &[
    (
        "observer.GetFlowsRequest",
        "number1 first9 follow3 blacklist5 whitelist6 since7 until8 field_mask10 experimental999 extensions150000",
    ),
    ("observer.GetFlowsResponse", "flow1 node_status2 lost_events3 node_name1000 time1001"),
    ("observer.NodeStatusEvent", "state_change1 node_names2 message3"),
    (
        "observer.ServerStatusResponse",
        "num_flows1 max_flows2 seen_flows3 uptime_ns4 num_connected_nodes5 num_unavailable_nodes6 unavailable_nodes7 version8 flows_rate9",
    ),
    ("observer.Node", "name1 version2 address3 state4 tls5 uptime_ns6 num_flows7 max_flows8 seen_flows9"),
    ("observer.TLS", "enabled1 server_name2"),
    ("observer.Namespace", "cluster1 namespace2"),
    ("observer.GetNodesResponse", "nodes1"),
    ("observer.GetNamespacesResponse", "namespaces1"),
    ("peer.ChangeNotification", "name1 address2 type3 tls4"),
    ("peer.TLS", "server_name1"),
    ("flow.LostEvent", "source1 num_events_lost2 cpu3 first4 last5"),
    (
        "flow.Flow",
        "time1 verdict2 drop_reason3 ethernet4 IP5 l46 source8 destination9 Type10 node_name11 source_names13 destination_names14 l715 reply16 event_type19 source_service20 destination_service21 traffic_direction22 policy_match_type23 trace_observation_point24 drop_reason_desc25 is_reply26 debug_capture_point27 interface28 proxy_port29 trace_context30 sock_xlate_point31 socket_cookie32 cgroup_id33 uuid34 auth_type35 trace_reason36 node_labels37 file38 tunnel39 ip_trace_id40 emitter41 Summary100000 extensions150000 egress_allowed_by21001 ingress_allowed_by21002 egress_denied_by21004 ingress_denied_by21005 policy_log21006 aggregate21007",
    ),
    ("flow.Endpoint", "ID1 identity2 namespace3 labels4 pod_name5 workloads6 cluster_name7"),
    ("flow.Workload", "name1 kind2"),
    ("flow.Policy", "name1 namespace2 labels3 revision4 kind5"),
    ("flow.CiliumEventType", "type1 sub_type2"),
    ("flow.EventTypeFilter", "type1 match_sub_type2 sub_type3"),
    ("flow.IP", "source1 destination2 ipVersion3 encrypted4 source_xlated5"),
    ("flow.TCP", "source_port1 destination_port2 flags3"),
    ("flow.UDP", "source_port1 destination_port2"),
    ("flow.SCTP", "source_port1 destination_port2"),
    ("flow.TCPFlags", "FIN1 SYN2 RST3 PSH4 ACK5 URG6 ECE7 CWR8 NS9"),
    ("flow.Layer4", "TCP1 UDP2 ICMPv43 ICMPv64 SCTP5"),
    ("flow.Emitter", "name1 version2"),
    (
        "flow.FlowFilter",
        "uuid29 source_ip1 source_ip_xlated34 source_pod2 source_fqdn7 source_label10 source_service16 source_workload26 source_cluster_name37 destination_ip3 destination_pod4 destination_fqdn8 destination_label11 destination_service17 destination_workload27 destination_cluster_name38 traffic_direction30 verdict5 drop_reason_desc33 interface35 event_type6 http_status_code9 protocol12 source_port13 destination_port14 reply15 dns_query18 source_identity19 destination_identity20 http_method21 http_path22 http_url31 http_header32 tcp_flags23 node_name24 node_labels36 ip_version25 trace_id28 ip_trace_id39 encrypted40 experimental999",
    ),
    ("flow.FlowFilter.Experimental", "cel_expression1"),
];

/// `NAME number`. Of drop reasons those that the page has words for.
const ENUMS: &[(&str, &str)] = &[
    (
        "flow.Verdict",
        "VERDICT_UNKNOWN 0 FORWARDED 1 DROPPED 2 ERROR 3 AUDIT 4 REDIRECTED 5 TRACED 6 TRANSLATED 7",
    ),
    (
        "flow.TraceReason",
        "TRACE_REASON_UNKNOWN 0 NEW 1 ESTABLISHED 2 REPLY 3 RELATED 4 SRV6_ENCAP 6 SRV6_DECAP 7",
    ),
    ("flow.TrafficDirection", "TRAFFIC_DIRECTION_UNKNOWN 0 INGRESS 1 EGRESS 2"),
    (
        "flow.AgentEventType",
        "AGENT_STARTED 2 POLICY_UPDATED 3 POLICY_DELETED 4 ENDPOINT_REGENERATE_SUCCESS 5 ENDPOINT_REGENERATE_FAILURE 6 ENDPOINT_CREATED 7 ENDPOINT_DELETED 8 IPCACHE_UPSERTED 9 IPCACHE_DELETED 10",
    ),
    ("flow.LostEventSource", "PERF_EVENT_RING_BUFFER 1 OBSERVER_EVENTS_QUEUE 2 HUBBLE_RING_BUFFER 3"),
    (
        "flow.TraceObservationPoint",
        "TO_PROXY 1 TO_HOST 2 TO_STACK 3 TO_OVERLAY 4 FROM_ENDPOINT 5 FROM_PROXY 6 FROM_HOST 7 FROM_STACK 8 FROM_OVERLAY 9 FROM_NETWORK 10 TO_NETWORK 11 FROM_CRYPTO 12 TO_CRYPTO 13 TO_ENDPOINT 101",
    ),
    ("flow.FlowType", "UNKNOWN_TYPE 0 L3_L4 1 L7 2 SOCK 3"),
    ("flow.IPVersion", "IP_NOT_USED 0 IPv4 1 IPv6 2"),
    (
        "flow.DropReason",
        "INVALID_SOURCE_MAC 130 INVALID_SOURCE_IP 132 POLICY_DENIED 133 INVALID_PACKET_DROPPED 134 CT_TRUNCATED_OR_INVALID_HEADER 135 CT_MISSING_TCP_ACK_FLAG 136 CT_UNKNOWN_L4_PROTOCOL 137 UNSUPPORTED_L3_PROTOCOL 139 MISSED_TAIL_CALL 140 ERROR_WRITING_TO_PACKET 141 UNKNOWN_L4_PROTOCOL 142 ERROR_RETRIEVING_TUNNEL_KEY 147 UNKNOWN_L3_TARGET_ADDRESS 150 STALE_OR_UNROUTABLE_IP 151 CT_MAP_INSERTION_FAILED 155 INVALID_IPV6_EXTENSION_HEADER 156 IP_FRAGMENTATION_NOT_SUPPORTED 157 SERVICE_BACKEND_NOT_FOUND 158 FAILED_TO_INSERT_INTO_PROXYMAP 161 LOCAL_HOST_IS_UNREACHABLE 164 NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION 165 UNSUPPORTED_L2_PROTOCOL 166 FIB_LOOKUP_FAILED 169 ENCAPSULATION_TRAFFIC_IS_PROHIBITED 170 INVALID_IDENTITY 171 UNKNOWN_SENDER 172 NAT_NOT_NEEDED 173 IS_A_CLUSTERIP 174 POLICY_DENY 181 VLAN_FILTERED 182 INVALID_VNI 183 INVALID_TC_BUFFER 184 NO_SID 185 AUTH_REQUIRED 189 CT_NO_MAP_FOUND 190 INVALID_CLUSTER_ID 192 NO_EGRESS_GATEWAY 194 UNENCRYPTED_TRAFFIC 195 TTL_EXCEEDED 196 NO_NODE_ID 197 DROP_RATE_LIMITED 198 DROP_HOST_NOT_READY 202 DROP_EP_NOT_READY 203 DROP_NO_EGRESS_IP 204 DROP_PUNT_PROXY 205",
    ),
];

#[test]
fn every_field_of_the_reference_page_has_its_number() {
    for (message, fields) in FIELDS {
        for field in fields.split_whitespace() {
            let found =
                SCHEMA.fields(message).iter().any(|known| format!("{}{}", known.name, known.number) == field);
            assert!(found, "{message}: {field}");
        }
        assert_eq!(
            SCHEMA.fields(message).len(),
            fields.split_whitespace().count(),
            "{message} has more fields"
        );
    }
}

#[test]
fn every_number_of_the_reference_pages_enumerations_has_its_name() {
    let files = FileDescriptorSet::decode(DESCRIPTOR).unwrap().file;
    for (name, values) in ENUMS {
        let (package, name) = name.split_once('.').unwrap();
        let file = files.iter().find(|file| file.package() == package).unwrap();
        let found = file.enum_type.iter().find(|found| found.name() == name).unwrap();
        let words: Vec<&str> = values.split_whitespace().collect();
        for pair in words.chunks(2) {
            let number: i32 = pair[1].parse().unwrap();
            let known = found.value.iter().find(|value| value.name() == pair[0]);
            assert_eq!(
                known.map(prost_types::EnumValueDescriptorProto::number),
                Some(number),
                "{name}.{}",
                pair[0]
            );
        }
    }
    let peer = files.iter().find(|file| file.package() == "peer").unwrap();
    let kinds: Vec<i32> =
        peer.enum_type[0].value.iter().map(prost_types::EnumValueDescriptorProto::number).collect();
    assert_eq!(kinds, [0, 1, 2, 3]);
}

#[test]
fn services_have_ciliums_names() {
    let files = FileDescriptorSet::decode(DESCRIPTOR).unwrap().file;
    let mut calls = Vec::new();
    for file in &files {
        for service in &file.service {
            for method in &service.method {
                let stream = if method.server_streaming() { " stream" } else { "" };
                calls.push(format!("/{}.{}/{}{stream}", file.package(), service.name(), method.name()));
            }
        }
    }
    calls.sort();
    let wanted = [
        "/observer.Observer/GetAgentEvents stream",
        "/observer.Observer/GetDebugEvents stream",
        "/observer.Observer/GetFlows stream",
        "/observer.Observer/GetNamespaces",
        "/observer.Observer/GetNodes",
        "/observer.Observer/ServerStatus",
        "/peer.Peer/Notify stream",
    ];
    assert_eq!(calls, wanted);
}

/// Bytes written by hand: key, length, contents.
#[test]
fn a_request_is_the_bytes_that_the_page_implies() {
    let request = GetFlowsRequest {
        number: 20,
        follow: true,
        whitelist: vec![FlowFilter { source_pod: vec!["a/".to_owned()], ..FlowFilter::default() }],
        blacklist: vec![FlowFilter {
            verdict: vec![2],
            uuid: vec!["u".to_owned()],
            experimental: Some(flow_filter::Experimental { cel_expression: vec!["x".to_owned()] }),
            ..FlowFilter::default()
        }],
        since: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        field_mask: Some(prost_types::FieldMask { paths: vec!["IP".to_owned()] }),
        ..GetFlowsRequest::default()
    };
    let wanted: &[u8] = &[
        0x08, 20, // number = 1
        0x18, 1, // follow = 3
        0x2a, 13, 0x2a, 1, 2, 0xea, 0x01, 1, b'u', 0xba, 0x3e, 3, 0x0a, 1,
        b'x', // blacklist = 5: verdict 5, uuid 29, 999
        0x32, 4, 0x12, 2, b'a', b'/', // whitelist = 6: source_pod 2
        0x3a, 2, 0x08, 1, // since = 7
        0x52, 4, 0x0a, 2, b'I', b'P', // field_mask = 10
    ];
    assert_eq!(request.encode_to_vec(), wanted);
}

#[test]
fn a_flow_is_the_bytes_that_the_page_implies() {
    let response = GetFlowsResponse {
        node_name: "n".to_owned(),
        time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
        response_types: Some(ResponseTypes::Flow(Flow {
            verdict: 2,
            drop_reason_desc: 181,
            is_reply: Some(false),
            source: Some(Endpoint { identity: 7, pod_name: "p".to_owned(), ..Endpoint::default() }),
            egress_denied_by: vec![Policy {
                name: "r".to_owned(),
                kind: "k".to_owned(),
                ..Policy::default()
            }],
            summary: "s".to_owned(),
            ..Flow::default()
        })),
    };
    let wanted: &[u8] = &[
        0x0a, 31, // flow = 1
        0x10, 2, // verdict = 2
        0x42, 5, 0x10, 7, 0x2a, 1, b'p', // source = 8: identity 2, pod_name 5
        0xc8, 0x01, 0xb5, 0x01, // drop_reason_desc = 25
        0xd2, 0x01, 0, // is_reply = 26, an empty BoolValue: false, not absent
        0xe2, 0xa0, 0x0a, 6, 0x0a, 1, b'r', 0x2a, 1, b'k', // egress_denied_by = 21004: name 1, kind 5
        0x82, 0xea, 0x30, 1, b's', // Summary = 100000
        0xc2, 0x3e, 1, b'n', // node_name = 1000
        0xca, 0x3e, 2, 0x08, 1, // time = 1001
    ];
    assert_eq!(response.encode_to_vec(), wanted);
}

#[test]
fn losses_peers_and_status_are_the_bytes_that_the_page_implies() {
    let lost = LostEvent { source: 3, num_events_lost: 7, cpu: Some(2), first: None, last: None };
    assert_eq!(lost.encode_to_vec(), [0x08, 3, 0x10, 7, 0x1a, 2, 0x08, 2]);
    let change = ChangeNotification {
        name: "c/n".to_owned(),
        address: "a".to_owned(),
        r#type: 1,
        tls: Some(Tls { server_name: "s".to_owned() }),
    };
    let wanted = [0x0a, 3, b'c', b'/', b'n', 0x12, 1, b'a', 0x18, 1, 0x22, 3, 0x0a, 1, b's'];
    assert_eq!(change.encode_to_vec(), wanted);
    let status = ServerStatusResponse {
        num_flows: 1,
        max_flows: 2,
        seen_flows: 3,
        uptime_ns: 4,
        num_connected_nodes: Some(1),
        version: "v".to_owned(),
        flows_rate: 1.0,
        ..ServerStatusResponse::default()
    };
    let wanted = [
        0x08, 1, 0x10, 2, 0x18, 3, 0x20, 4, 0x2a, 2, 0x08, 1, 0x42, 1, b'v', 0x49, 0, 0, 0, 0, 0, 0, 0xf0,
        0x3f,
    ];
    assert_eq!(status.encode_to_vec(), wanted);
    let flags = TcpFlags { fin: true, syn: true, ns: true, ..TcpFlags::default() };
    assert_eq!(flags.encode_to_vec(), [0x08, 1, 0x10, 1, 0x48, 1]);
    assert_eq!(flow::Verdict::Audit.as_str_name(), "AUDIT");
}
