use enforcer_proto::hubble::flow::{
    EventTypeFilter, HttpHeader, NetworkInterface, TcpFlags, Workload, flow_filter,
};

use super::super::flow::flow;
use super::super::stage::{denied, names, record};
use super::*;

/// Whether the allowed flow from web-0 to db-0, and the one that a rule refused, pass a filter.
fn both(change: impl Fn(&mut FlowFilter)) -> (bool, bool) {
    let mut filter = FlowFilter::default();
    change(&mut filter);
    let filters = Filters::parse(std::slice::from_ref(&filter), &[]).unwrap();
    (filters.passes(&allowed_flow()), filters.passes(&denied_flow()))
}

fn allowed_flow() -> Flow {
    let syn = enforcer_proto::v1::FlowFacts { tcp_flags: 2, ..Default::default() };
    flow(&enforcer_proto::v1::Record { flow: Some(syn), ..record() }, &names()).unwrap()
}

fn denied_flow() -> Flow {
    flow(&denied(), &names()).unwrap()
}

/// Which of the values pass the allowed flow.
fn passing<V: Clone>(values: &[V], set: impl Fn(&mut FlowFilter, Vec<V>)) -> Vec<bool> {
    values.iter().map(|value| both(|filter| set(filter, vec![value.clone()])).0).collect()
}

fn texts(values: &[&str], set: impl Fn(&mut FlowFilter, Vec<String>)) -> Vec<bool> {
    passing(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>(), set)
}

fn refused(change: impl Fn(&mut FlowFilter)) -> String {
    let mut filter = FlowFilter::default();
    change(&mut filter);
    Filters::parse(&[FlowFilter::default()], &[FlowFilter::default(), filter]).unwrap_err().to_string()
}

#[test]
fn addresses_are_exact_or_prefixes() {
    let values = ["10.0.0.1", "10.0.0.0/24", "::/0", "10.0.0.2"];
    assert_eq!(texts(&values, |filter, values| filter.source_ip = values), [true, true, false, false]);
    assert_eq!(texts(&values, |filter, values| filter.destination_ip = values), [false, true, false, true]);
    let told = refused(|filter| filter.source_ip = vec!["10.0.0.1".to_owned(), "10.0.0".to_owned()]);
    assert!(told.starts_with("blacklist[1].source_ip[1]: "), "{told}");
}

#[test]
fn pods_are_a_namespace_and_a_prefix() {
    let values = ["shop/", "shop/web", "shop/web-0", "web", "/", "/web-0", "red/", "shop/db", "web-0x"];
    let wanted = [true, true, true, true, true, true, false, false, false];
    assert_eq!(texts(&values, |filter, values| filter.source_pod = values), wanted);
    let values = ["blue/", "blue/db-", "shop/", "db-0"];
    assert_eq!(texts(&values, |filter, values| filter.destination_pod = values), [true, true, false, true]);
    assert!(refused(|filter| filter.destination_pod = vec![String::new()]).contains("destination_pod[0]"));
}

#[test]
fn an_end_without_a_name_is_no_pod() {
    let world = enforcer_proto::v1::Record {
        source: Some(super::super::stage::end("world", "", "192.0.2.1", 1)),
        ..record()
    };
    let any = FlowFilter { source_pod: vec!["/".to_owned()], ..FlowFilter::default() };
    assert!(!Filters::parse(&[any], &[]).unwrap().passes(&flow(&world, &names()).unwrap()));
}

#[test]
fn ports_are_numbers() {
    assert_eq!(texts(&["4242", "80"], |filter, values| filter.source_port = values), [true, false]);
    assert_eq!(texts(&["4242", "80"], |filter, values| filter.destination_port = values), [false, true]);
    assert!(refused(|filter| filter.source_port = vec!["http".to_owned()]).contains("source_port[0]"));
    assert!(
        refused(|filter| filter.destination_port = vec!["65536".to_owned()]).contains("destination_port[0]")
    );
}

#[test]
fn protocols_are_words_of_layer_4() {
    let words = ["tcp", "TCP", "udp", "sctp", "icmp", "icmpv4", "icmpv6"];
    let wanted = [true, true, false, false, false, false, false];
    assert_eq!(texts(&words, |filter, values| filter.protocol = values), wanted);
    for word in ["http", "dns", "kafka", "quic"] {
        assert!(refused(|filter| filter.protocol = vec![word.to_owned()]).contains("protocol[0]"), "{word}");
    }
}

#[test]
fn verdicts_reasons_and_directions_are_numbers() {
    assert_eq!(both(|filter| filter.verdict = vec![1]), (true, false));
    assert_eq!(both(|filter| filter.verdict = vec![2]), (false, true));
    assert_eq!(both(|filter| filter.verdict = vec![1, 2]), (true, true));
    assert_eq!(both(|filter| filter.drop_reason_desc = vec![181]), (false, true));
    assert_eq!(both(|filter| filter.drop_reason_desc = vec![133]), (false, false));
    assert_eq!(both(|filter| filter.traffic_direction = vec![2]), (true, true));
    assert_eq!(both(|filter| filter.traffic_direction = vec![1]), (false, false));
    assert!(refused(|filter| filter.verdict = vec![1, 99]).starts_with("blacklist[1].verdict[1]: "));
    assert!(refused(|filter| filter.drop_reason_desc = vec![240]).contains("drop_reason_desc[0]"));
    assert!(refused(|filter| filter.traffic_direction = vec![3]).contains("traffic_direction[0]"));
}

#[test]
fn event_types_match_their_sub_type_only_when_asked() {
    let of = |r#type, match_sub_type, sub_type| {
        both(|filter| filter.event_type = vec![EventTypeFilter { r#type, match_sub_type, sub_type }])
    };
    assert_eq!(of(5, false, 9), (true, false));
    assert_eq!(of(1, false, 0), (false, true));
    assert_eq!(of(1, true, 181), (false, true));
    assert_eq!(of(1, true, 0), (false, false));
    assert_eq!(of(5, true, 0), (true, false));
    assert_eq!(of(0, false, 0), (true, true));
    assert_eq!(of(129, false, 0), (false, false));
}

#[test]
fn identities_are_tenants_numbers() {
    assert_eq!(passing(&[70_001, 70_002], |filter, values| filter.source_identity = values), [true, false]);
    assert_eq!(
        passing(&[70_001, 70_002], |filter, values| filter.destination_identity = values),
        [false, true]
    );
}

#[test]
fn labels_are_selectors() {
    let values = ["tenant=red", "tenant in (red,blue)", "tenant=blue", "reserved:host"];
    assert_eq!(texts(&values, |filter, values| filter.source_label = values), [true, true, false, false]);
    assert_eq!(
        texts(&values, |filter, values| filter.destination_label = values),
        [false, true, true, false]
    );
    assert!(refused(|filter| filter.source_label = vec!["a in b".to_owned()]).contains("source_label[0]"));
}

#[test]
fn nodes_are_patterns() {
    assert_eq!(texts(&["n1", "n*", "n2"], |filter, values| filter.node_name = values), [true, true, false]);
    assert!(refused(|filter| filter.node_name = vec![String::new()]).contains("node_name[0]"));
}

#[test]
fn uuids_and_traces_are_exact() {
    let uuid = allowed_flow().uuid;
    assert_eq!(texts(&[&uuid, "nothing"], |filter, values| filter.uuid = values), [true, false]);
    let facts = enforcer_proto::v1::TunnelFacts {
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        ..Default::default()
    };
    let traced = enforcer_proto::v1::Record { tunnel: Some(facts), ..record() };
    let is = |id: &str| {
        let filter = FlowFilter { trace_id: vec![id.to_owned()], ..FlowFilter::default() };
        Filters::parse(&[filter], &[]).unwrap().passes(&flow(&traced, &names()).unwrap())
    };
    assert!(is("0af7651916cd43dd8448eb211c80319c") && !is("0af7"));
}

#[test]
fn a_reply_that_is_not_known_is_neither() {
    assert_eq!(both(|filter| filter.reply = vec![false]), (true, false));
    assert_eq!(both(|filter| filter.reply = vec![true, false]), (true, false));
    assert_eq!(both(|filter| filter.reply = vec![true]), (false, false));
}

#[test]
fn versions_and_encryption() {
    assert_eq!(passing(&[1, 2, 0], |filter, values| filter.ip_version = values), [true, false, false]);
    assert!(refused(|filter| filter.ip_version = vec![6]).contains("ip_version[0]"));
    assert_eq!(passing(&[false, true], |filter, values| filter.encrypted = values), [true, false]);
}

#[test]
fn a_packet_may_have_more_flags_than_asked_for() {
    let syn = TcpFlags { syn: true, ..TcpFlags::default() };
    let ack = TcpFlags { ack: true, ..TcpFlags::default() };
    let both_flags = TcpFlags { syn: true, ack: true, ..TcpFlags::default() };
    assert_eq!(
        passing(&[syn, ack, both_flags], |filter, values| filter.tcp_flags = values),
        [true, false, false]
    );
    assert_eq!(
        both(|filter| filter.tcp_flags = vec![ack, syn]),
        (true, false),
        "no flags are known of the second"
    );
}

#[test]
fn workloads_and_clusters_are_exact() {
    let of = |name: &str, kind: &str| Workload { name: name.to_owned(), kind: kind.to_owned() };
    let values =
        [of("web-0", ""), of("web-0", "Workload"), of("", "Workload"), of("web", ""), of("web-0", "Job")];
    let wanted = [true, true, true, false, false];
    assert_eq!(passing(&values, |filter, values| filter.source_workload = values), wanted);
    assert_eq!(passing(&[of("db-0", "")], |filter, values| filter.destination_workload = values), [true]);
    assert!(refused(|filter| filter.source_workload = vec![of("", "")]).contains("source_workload[0]"));
    assert_eq!(texts(&["default", "x"], |filter, values| filter.source_cluster_name = values), [true, false]);
    assert_eq!(
        texts(&["default", "x"], |filter, values| filter.destination_cluster_name = values),
        [true, false]
    );
}

#[test]
fn fields_of_a_filter_must_all_agree_and_of_filters_one() {
    assert_eq!(
        both(|filter| (filter.verdict, filter.source_port) = (vec![1], vec!["4242".to_owned()])),
        (true, false)
    );
    assert_eq!(
        both(|filter| (filter.verdict, filter.source_port) = (vec![1], vec!["1".to_owned()])),
        (false, false)
    );
    assert_eq!(both(|_| ()), (true, true));
    let verdict = |number| FlowFilter { verdict: vec![number], ..FlowFilter::default() };
    let parse = |white: &[FlowFilter], black: &[FlowFilter]| {
        let filters = Filters::parse(white, black).unwrap();
        (filters.passes(&allowed_flow()), filters.passes(&denied_flow()))
    };
    assert_eq!(parse(&[verdict(1), verdict(2)], &[]), (true, true));
    assert_eq!(parse(&[], &[verdict(2)]), (true, false));
    assert_eq!(parse(&[verdict(1), verdict(2)], &[verdict(1)]), (false, true));
    assert_eq!(parse(&[], &[FlowFilter::default()]), (false, false), "an empty filter matches everything");
}

#[test]
fn what_cannot_be_compared_is_refused_by_its_name() {
    fn word() -> Vec<String> {
        vec!["x".to_owned()]
    }
    type Change = fn(&mut FlowFilter);
    let fields: [(&str, Change); 15] = [
        ("source_fqdn", |filter| filter.source_fqdn = word()),
        ("destination_fqdn", |filter| filter.destination_fqdn = word()),
        ("http_status_code", |filter| filter.http_status_code = word()),
        ("source_service", |filter| filter.source_service = word()),
        ("destination_service", |filter| filter.destination_service = word()),
        ("dns_query", |filter| filter.dns_query = word()),
        ("http_method", |filter| filter.http_method = word()),
        ("http_path", |filter| filter.http_path = word()),
        ("http_url", |filter| filter.http_url = word()),
        ("http_header", |filter| filter.http_header = vec![HttpHeader::default()]),
        ("source_ip_xlated", |filter| filter.source_ip_xlated = word()),
        ("interface", |filter| filter.interface = vec![NetworkInterface::default()]),
        ("node_labels", |filter| filter.node_labels = word()),
        ("ip_trace_id", |filter| filter.ip_trace_id = vec![7]),
        ("experimental.cel_expression", |filter| {
            filter.experimental = Some(flow_filter::Experimental { cel_expression: word() });
        }),
    ];
    for (field, change) in fields {
        let told = refused(change);
        assert!(told.starts_with(&format!("blacklist[1].{field}: ")), "{told}");
    }
}

#[test]
fn a_flood_of_filters_is_refused() {
    let many = vec![FlowFilter::default(); FILTERS_MAX + 1];
    assert_eq!(Filters::parse(&many, &[]).unwrap_err().field, "whitelist");
}
