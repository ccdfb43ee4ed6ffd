//! What a record knows besides its event: process, socket, losses, totals, what nobody knows.

use enforcer_common::event::{
    HOOK_CONNECT, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT, KIND_SOCKET_END, ProcessEvent, SocketEvent,
};
use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::event::decode::{Decoded, encode_any};

use super::*;

const SECOND: u64 = 1_000_000_000;
/// A process id that no process has.
const PID: u32 = 7_000_000;

fn exec(at_ns: u64, pid: u32, path: &str) -> ProcessEvent {
    let mut event = ProcessEvent {
        header: Header { kind: KIND_PROCESS_EXEC, boot_ns: at_ns, ring: 2, ..Header::default() },
        process: pid,
        start_ns: at_ns,
        cgroup: 42,
        identity: RED,
        uid: 1_000,
        ..ProcessEvent::default()
    };
    event.executable[..path.len()].copy_from_slice(path.as_bytes());
    event.executable_length = path.len().try_into().unwrap();
    event.arguments[..5].copy_from_slice(b"nc\0-v");
    event.arguments_length = 5;
    event
}

fn connect(at_ns: u64) -> Event {
    Event {
        header: Header { kind: KIND_FLOW_REFUSED, boot_ns: at_ns, ..Header::default() },
        hook: HOOK_CONNECT,
        protocol: 6,
        process: PID,
        cgroup: 42,
        source_identity: RED,
        destination_identity: BLUE,
        ..event(99)
    }
}

async fn told(feed: &Feed, events: &[Decoded]) -> Vec<v1::Record> {
    let stored = feed.forensics.totals().stored;
    let batch = events.iter().map(encode_any).collect();
    feed.events.send(batch).await.unwrap();
    let news = events.iter().filter(|event| event.header().kind != 9).count();
    feed.reached(stored + u64::try_from(news).unwrap()).await;
    let after = v1::ObserveRequest { after: Some(stored), ..v1::ObserveRequest::default() };
    feed.all(after).await
}

/// Its exec came through another ring, and is read later in the same batch.
#[tokio::test]
async fn a_refused_connect_names_the_process_that_tried() {
    let feed = feed(100);
    let records = told(
        &feed,
        &[Decoded::Decision(connect(2 * SECOND)), Decoded::Process(exec(SECOND, PID, "/usr/bin/nc"))],
    )
    .await;
    assert_eq!(records.iter().map(|record| record.r#type.as_str()).collect::<Vec<_>>(), ["process", "flow"]);
    let process = records[1].process.as_ref().unwrap();
    assert_eq!((process.executable.as_str(), process.arguments.join(" ").as_str()), ("/usr/bin/nc", "nc -v"));
    assert_eq!((process.start_boot_ns, process.uid, process.identity.as_str()), (SECOND, 1_000, "red"));
    assert_eq!((process.cgroup.as_str(), process.gap.as_str()), ("/group-42", ""));
    assert_eq!((records[1].cookie, records[1].boot_ns, records[1].cpu), (99, 2 * SECOND, Some(0)));
    // Red's half tells its own process; blue's does not.
    let half = |name: &str| enforcer_core::event::redact::redact(&records[1], name).unwrap().process;
    assert_eq!((half("red").is_some(), half("blue").is_some()), (true, false));
}

#[tokio::test]
async fn a_process_that_is_gone_is_not_named_by_another() {
    let feed = feed(100);
    let exit = ProcessEvent {
        header: Header { kind: KIND_PROCESS_EXIT, boot_ns: 3 * SECOND, ring: 2, ..Header::default() },
        ..exec(SECOND, PID, "/usr/bin/nc")
    };
    let gone = [Decoded::Process(exec(SECOND, PID, "/usr/bin/nc")), Decoded::Process(exit)];
    told(&feed, &gone).await;
    let records = told(&feed, &[Decoded::Decision(connect(4 * SECOND))]).await;
    let process = records[0].process.as_ref().unwrap();
    assert_eq!((process.executable.as_str(), process.identity.as_str()), ("", "red"));
    assert_eq!(process.gap, "not seen: gone before it was looked up");
}

#[tokio::test]
async fn a_process_that_was_there_before_is_looked_up() {
    let feed = feed(100);
    let now = super::super::clock::boot_ns();
    let own = Event { process: std::process::id(), cgroup: 0, ..connect(now) };
    let records = told(&feed, &[Decoded::Decision(own)]).await;
    let executable = std::env::current_exe().unwrap();
    assert_eq!(records[0].process.as_ref().unwrap().executable, executable.to_str().unwrap());
    assert!(!records[0].process.as_ref().unwrap().ancestors.is_empty());
}

#[tokio::test]
async fn a_tunnelled_flow_is_told_with_the_process_behind_its_socket() {
    let feed = feed(100);
    let socket = SocketEvent {
        header: Header { kind: KIND_SOCKET_END, boot_ns: 2 * SECOND, ring: 1, ..Header::default() },
        cookie: 1234,
        process: PID,
        cgroup: 42,
        identity: RED,
        remote_identity: BLUE,
        bytes_sent: 5,
        new_state: 7,
        ..SocketEvent::default()
    };
    let records =
        told(&feed, &[Decoded::Process(exec(SECOND, PID, "/usr/bin/nc")), Decoded::Socket(socket)]).await;
    let closed = &records[1];
    assert_eq!(closed.flow.as_ref().unwrap().bytes_sent, 5);
    assert_eq!(closed.process.as_ref().unwrap().executable, "/usr/bin/nc");
    let end = |identity: &str| v1::Endpoint { identity: identity.to_owned(), ..v1::Endpoint::default() };
    feed.maker.tell(v1::Record {
        r#type: "tunnel".to_owned(),
        source: Some(end("red")),
        destination: Some(end("blue")),
        tunnel: Some(v1::TunnelFacts {
            direction: "outbound".to_owned(),
            cookie: 1234,
            source_id: "spiffe://red/web".to_owned(),
            source_serial: "0a".to_owned(),
            ..v1::TunnelFacts::default()
        }),
        ..v1::Record::default()
    });
    feed.reached(3).await;
    let tunnel = feed.all(v1::ObserveRequest { after: Some(2), ..v1::ObserveRequest::default() }).await;
    assert_eq!(tunnel[0].process.as_ref().unwrap().executable, "/usr/bin/nc");
    let source = tunnel[0].source.as_ref().unwrap();
    assert_eq!((source.spiffe_id.as_str(), source.svid_serial.as_str()), ("spiffe://red/web", "0a"));
    assert_eq!((tunnel[0].node.as_str(), tunnel[0].cookie), ("node-1", 1234));
}

#[tokio::test]
async fn a_kind_that_nobody_knows_is_kept_and_a_canary_is_not() {
    let feed = feed(100);
    let header = Header { kind: 4_711, boot_ns: SECOND, ..Header::default() };
    let canary = Event { source_identity: enforcer_common::identity::CANARY, ..event(0) };
    feed.send([canary]).await;
    let records = told(&feed, &[Decoded::Unknown(header)]).await;
    assert_eq!((records[0].r#type.as_str(), records[0].boot_ns), ("unknown-4711", SECOND));
    assert_eq!(records.len(), 1);
}

#[tokio::test]
async fn a_loss_is_told_to_whom_it_befell_and_a_gap_that_nobody_counted_is_told_too() {
    let feed = feed(100);
    let at = |sequence| {
        let boot_ns = super::super::clock::boot_ns();
        Event { header: Header { sequence, boot_ns, ring: RING_EVENTS, ..event(0).header }, ..event(0) }
    };
    feed.send([at(5), at(9)]).await;
    feed.reached(2).await;
    let records = feed.all(v1::ObserveRequest::default()).await;
    assert_eq!((records[0].cpu_sequence, records[1].cpu_sequence, records[1].lost_before), (5, 9, 0));
    // Two of the three were counted.
    let losses = vec![Loss { source: RED, cause: LOST_EVENT_FULL, count: 2 }];
    for _ in 0..3 {
        feed.losses.send_replace(losses.clone());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    feed.reached(4).await;
    let records = feed.all(v1::ObserveRequest { after: Some(2), ..v1::ObserveRequest::default() }).await;
    let losses: Vec<_> = records.iter().map(|record| (record.reason.as_str(), record.lost_before)).collect();
    assert_eq!(losses, [("event_full", 2), ("events_unaccounted", 1)]);
    assert_eq!(records[0].source.as_ref().unwrap().identity, "red");
    assert_eq!(records[1].source, None);
}

#[tokio::test]
async fn what_was_counted_is_told_as_totals() {
    let feed = feed(100);
    let key = CounterKey { source: RED, destination: BLUE, ..CounterKey::default() };
    for packets in [10, 25] {
        feed.counters.send(vec![(key, CounterValue { packets, bytes: packets * 100 })]).await.unwrap();
    }
    feed.reached(1).await;
    let records = feed.all(v1::ObserveRequest::default()).await;
    let flow = records[0].flow.as_ref().unwrap();
    assert_eq!((records[0].r#type.as_str(), flow.packets_sent, flow.bytes_sent), ("totals", 15, 1_500));
}
