use enforcer_proto::hubble::flow::FlowFilter;
use enforcer_proto::hubble::observer::get_flows_request;
use enforcer_proto::hubble::observer::get_flows_response::ResponseTypes;

use super::super::stage::{denied, names, record};
use super::*;
use crate::event::sequence::loss;

fn at(sequence: u64, record: v1::Record) -> v1::Record {
    let seconds = i64::try_from(sequence).unwrap();
    v1::Record { sequence, time: Some(Timestamp { seconds, nanos: 0 }), ..record }
}

/// Flows 1 to 6, every second one denied, and a loss behind the fourth and the sixth.
fn held() -> Vec<v1::Record> {
    let flow = |sequence| at(sequence, if sequence % 2 == 0 { denied() } else { record() });
    let lost = |sequence| at(sequence, loss("n1", "event_full", 3, Timestamp::default()));
    let device = at(7, v1::Record { r#type: "device".to_owned(), ..record() });
    vec![flow(1), flow(2), flow(3), flow(4), lost(5), flow(6), device, lost(8)]
}

fn query(change: impl FnOnce(&mut GetFlowsRequest)) -> Query {
    let mut request = GetFlowsRequest::default();
    change(&mut request);
    Query::parse(&request).unwrap()
}

fn refused(change: impl FnOnce(&mut GetFlowsRequest)) -> String {
    let mut request = GetFlowsRequest::default();
    change(&mut request);
    Query::parse(&request).unwrap_err().to_string()
}

/// What is sent of what is held: seconds of flows, and negative ones of losses.
fn answered(query: Query) -> Vec<i64> {
    let (mut reader, after) = match query.begin() {
        Begin::Oldest => (Reader::new(query), None),
        Begin::Newest => (Reader::new(query), Some(u64::MAX)),
        Begin::Last(number) => {
            let mut rewind = Rewind::new(number);
            held().iter().for_each(|record| rewind.see(record, &query, &names()));
            let (after, count) = rewind.end();
            (Reader::rewound(query, count), after)
        }
    };
    let mut sent = Vec::new();
    for record in held().iter().filter(|record| after.is_none_or(|after| record.sequence > after)) {
        match reader.take(record, &names()) {
            Answer::Skip => {}
            Answer::Send(response) => sent.push(told(&response)),
            Answer::Last(response) => {
                sent.push(told(&response));
                break;
            }
            Answer::End => break,
        }
    }
    sent
}

fn told(response: &GetFlowsResponse) -> i64 {
    let seconds = response.time.unwrap().seconds;
    if matches!(response.response_types, Some(ResponseTypes::LostEvents(_))) { -seconds } else { seconds }
}

fn dropped() -> Vec<FlowFilter> {
    vec![FlowFilter { verdict: vec![2], ..FlowFilter::default() }]
}

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

#[test]
fn without_a_number_everything_is_sent_and_losses_too() {
    assert_eq!(answered(query(|_| ())), [1, 2, 3, 4, -5, 6, -8]);
}

#[test]
fn a_number_means_the_last_and_tells_what_was_lost_among_them() {
    assert_eq!(answered(query(|request| request.number = 2)), [4, -5, 6, -8]);
    assert_eq!(answered(query(|request| request.number = 1)), [6, -8]);
    assert_eq!(answered(query(|request| request.number = 99)), [1, 2, 3, 4, -5, 6, -8]);
    assert_eq!(answered(query(|request| request.number = u64::MAX)), [1, 2, 3, 4, -5, 6, -8]);
}

#[test]
fn the_number_counts_flows_that_pass() {
    let two = query(|request| (request.number, request.whitelist) = (2, dropped()));
    assert_eq!(answered(two), [4, -5, 6, -8]);
    let blacklisted = query(|request| (request.number, request.blacklist) = (2, dropped()));
    assert_eq!(answered(blacklisted), [1, 3, -5, -8]);
}

#[test]
fn losses_are_told_whatever_is_filtered() {
    let nothing = vec![FlowFilter { source_port: vec!["1".to_owned()], ..FlowFilter::default() }];
    assert_eq!(answered(query(|request| request.whitelist = nothing.clone())), [-5, -8]);
    assert_eq!(answered(query(|request| request.blacklist = vec![FlowFilter::default()])), [-5, -8]);
    assert_eq!(answered(query(|request| (request.number, request.whitelist) = (20, nothing))), [-5, -8]);
}

#[test]
fn first_means_the_oldest() {
    assert_eq!(answered(query(|request| (request.first, request.number) = (true, 2))), [1, 2]);
    assert_eq!(answered(query(|request| request.first = true)), [1, 2, 3, 4, -5, 6, -8]);
    let two = query(|request| (request.first, request.number, request.whitelist) = (true, 2, dropped()));
    assert_eq!(answered(two), [2, 4]);
}

#[test]
fn first_and_follow_exclude_each_other() {
    let told = refused(|request| (request.first, request.follow) = (true, true));
    assert_eq!(told, "first: first cannot be specified with follow");
}

#[test]
fn a_span_of_time_includes_both_ends_and_prevails_over_a_number() {
    assert_eq!(answered(query(|request| request.since = time(3))), [3, 4, -5, 6, -8]);
    assert_eq!(answered(query(|request| request.until = time(3))), [1, 2, 3, -5, -8]);
    assert_eq!(
        answered(query(|request| (request.since, request.until) = (time(2), time(4)))),
        [2, 3, 4, -5, -8]
    );
    assert_eq!(answered(query(|request| (request.since, request.number) = (time(2), 2))), [2, 3]);
    assert_eq!(answered(query(|request| (request.until, request.number) = (time(3), 2))), [2, 3, -5, -8]);
}

#[test]
fn following_begins_at_the_newest_or_where_it_is_told() {
    assert_eq!(query(|request| request.follow = true).begin(), Begin::Newest);
    assert_eq!(query(|request| (request.follow, request.number) = (true, 5)).begin(), Begin::Last(5));
    assert_eq!(query(|request| (request.follow, request.since) = (true, time(1))).begin(), Begin::Oldest);
}

#[test]
fn following_goes_on_after_the_number_until_the_time() {
    assert_eq!(answered(query(|request| (request.follow, request.number) = (true, 1))), [6, -8]);
    let since = query(|request| (request.follow, request.since, request.number) = (true, time(1), 2));
    assert_eq!(answered(since), [1, 2, 3, 4, -5, 6, -8]);
    let until = query(|request| (request.follow, request.since, request.until) = (true, time(1), time(3)));
    assert_eq!(answered(until), [1, 2, 3]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_field() {
    let bad = Some(Timestamp { seconds: 0, nanos: 1_000_000_000 });
    assert!(refused(|request| request.since = bad).starts_with("since: "));
    assert!(
        refused(|request| request.until = Some(Timestamp { seconds: i64::MAX, nanos: 0 }))
            .starts_with("until: ")
    );
    assert!(
        refused(|request| request.extensions = Some(prost_types::Any::default())).starts_with("extensions: ")
    );
    let mask = prost_types::FieldMask { paths: vec!["nothing".to_owned()] };
    assert!(refused(|request| request.field_mask = Some(mask)).starts_with("field_mask.paths[0]: "));
    let filter = FlowFilter { http_method: vec!["GET".to_owned()], ..FlowFilter::default() };
    assert!(refused(|request| request.whitelist = vec![filter]).starts_with("whitelist[0].http_method: "));
    assert!(
        Query::parse(&GetFlowsRequest {
            experimental: Some(get_flows_request::Experimental {}),
            ..GetFlowsRequest::default()
        })
        .is_ok()
    );
}

#[test]
fn the_mask_cuts_the_flow_and_not_the_answer() {
    let mask = prost_types::FieldMask { paths: vec!["verdict".to_owned()] };
    let dropped = dropped();
    let masked = query(|request| (request.field_mask, request.whitelist) = (Some(mask), dropped));
    let mut reader = Reader::new(masked);
    assert_eq!(reader.take(&at(1, record()), &names()), Answer::Skip);
    let Answer::Send(response) = reader.take(&at(2, denied()), &names()) else { panic!() };
    assert_eq!((response.node_name.as_str(), response.time), ("n1", time(2)));
    let wanted = Flow { verdict: 2, ..Flow::default() };
    assert_eq!(response.response_types, Some(ResponseTypes::Flow(wanted)));
}

#[test]
fn a_rewind_remembers_no_more_than_was_asked_for() {
    let query = query(|request| request.number = 2);
    let mut rewind = Rewind::new(2);
    for sequence in 1..1_000 {
        rewind.see(&at(sequence, record()), &query, &names());
        assert!(rewind.found.len() <= 2);
    }
    assert_eq!(rewind.end(), (Some(997), 2));
}
