use super::*;
use crate::parquet::from_nanoseconds;

fn end(identity: &str, port: u32) -> Option<v1::Endpoint> {
    Some(v1::Endpoint { identity: identity.to_owned(), port, ..v1::Endpoint::default() })
}

fn flow(second: i64, port: u32, verdict: &str, flow: Option<v1::FlowFacts>) -> v1::Record {
    v1::Record {
        r#type: FLOW.to_owned(),
        time: Some(from_nanoseconds(second * 1_000_000_000)),
        verdict: verdict.to_owned(),
        reason: if verdict == "deny" { "rule_denied" } else { "" }.to_owned(),
        protocol: "TCP".to_owned(),
        source: end("red", port),
        destination: end("blue", 443),
        flow,
        ..v1::Record::default()
    }
}

fn facts(event: &str, bytes_sent: u64) -> Option<v1::FlowFacts> {
    Some(v1::FlowFacts { event: event.to_owned(), bytes_sent, bytes_received: 1, ..v1::FlowFacts::default() })
}

#[test]
fn flows_of_one_client_to_one_port_are_one_talk() {
    let records = [
        flow(3, 40_000, "allow", facts("opened", 0)),
        flow(4, 40_000, "", facts("state", 5)),
        flow(9, 40_000, "", facts("closed", 70)),
        flow(2, 40_001, "deny", None),
        flow(5, 40_002, "deny", None),
        flow(6, 40_003, "audit", None),
        v1::Record { r#type: LOSS.to_owned(), lost_before: 4, ..v1::Record::default() },
    ];
    let summary = summary(records.into_iter(), What::Talks);
    let [talk] = summary.response.talks.as_slice() else { panic!("{:?}", summary.response.talks) };
    assert_eq!((talk.allowed, talk.refused), (2, 2));
    assert_eq!((talk.bytes_sent, talk.bytes_received), (70, 1));
    assert_eq!(talk.reasons, ["rule_denied"]);
    assert_eq!((talk.source.clone(), talk.destination.clone()), (end("red", 0), end("blue", 443)));
    assert_eq!((talk.first.unwrap().seconds, talk.last.unwrap().seconds), (2, 9));
    assert_eq!((summary.response.lost, summary.cut), (4, 0));
}

#[test]
fn a_hold_ends_with_its_process_and_not_with_one_of_the_same_number() {
    let process = |start_boot_ns| Some(v1::Process { pid: 7, start_boot_ns, ..v1::Process::default() });
    let open = |second: i64, start, verdict: &str| v1::Record {
        r#type: DEVICE.to_owned(),
        device: Some(v1::Device { class: "nvidia".to_owned(), minor: Some(0), ..v1::Device::default() }),
        process: process(start),
        ..flow(second, 0, verdict, None)
    };
    let exit = |second: i64, start| v1::Record {
        r#type: PROCESS.to_owned(),
        process: process(start),
        note: Some(v1::Note { event: "exit".to_owned(), ..v1::Note::default() }),
        ..flow(second, 0, "", None)
    };
    let records =
        [open(1, 100, "allow"), open(2, 100, "deny"), exit(5, 100), open(6, 200, "allow"), exit(7, 300)];
    let summary = summary(records.into_iter(), What::Devices);
    let told: Vec<_> = summary
        .response
        .holds
        .iter()
        .map(|hold| (hold.opens, hold.refused, hold.ended.map(|time| time.seconds)))
        .collect();
    assert_eq!(told, [(1, 1, Some(5)), (1, 0, None)]);
}

#[test]
fn what_no_longer_fits_is_counted() {
    let most = u32::try_from(SUMS_MOST).unwrap();
    let records = (0..most + 5)
        .map(|number| v1::Record { destination: end("blue", number), ..flow(1, 0, "allow", None) });
    let summary = summary(records.chain([flow(2, 0, "allow", None)]), What::Talks);
    assert_eq!((summary.response.talks.len(), summary.cut), (SUMS_MOST, 5));
}
