//! How many records a second one core makes. Run by hand, optimised:
//! `cargo test --release -p enforcer-agent forensics::tests::speed -- --ignored --nocapture`.

use std::time::Instant;

use enforcer_common::event::{HOOK_CONNECT, KIND_PROCESS_EXEC, ProcessEvent};
use enforcer_core::event::decode::{Decoded, encode_any};

use super::super::desk::Desk;
use super::super::serials::Serials;
use super::*;

const BATCHES: u64 = 200;
const EVENTS: u64 = 1_000;

#[test]
#[ignore = "measures"]
fn records_a_second() {
    let lookups: (PathLookup, GroupLookup) = (Arc::new(|_| Some("/pods/a".to_owned())), Arc::new(|_| None));
    let mut desk = Desk::new("node-1".to_owned(), 1, &[], scene(1, "rule"), lookups, Serials::default());
    let exec = |pid: u32| {
        let mut event = ProcessEvent {
            header: Header { kind: KIND_PROCESS_EXEC, boot_ns: 5, ..Header::default() },
            process: pid,
            start_ns: 5,
            cgroup: 42,
            executable_length: 12,
            arguments_length: 8,
            ..ProcessEvent::default()
        };
        event.executable[..12].copy_from_slice(b"/usr/bin/abc");
        event.arguments[..8].copy_from_slice(b"abc\0-v\0x");
        Decoded::Process(event)
    };
    let _ = desk.records(&(1_000..1_100).map(|pid| encode_any(&exec(pid))).collect());
    let flow = |index: u64| {
        let cookie = index + 1;
        let header = Header { kind: KIND_FLOW_ALLOWED, boot_ns: 1_000 + index, ..Header::default() };
        let process = 1_000 + u32::try_from(index % 100).unwrap();
        Event {
            header,
            hook: HOOK_CONNECT,
            protocol: 6,
            process,
            cgroup: 42,
            source_identity: RED,
            destination_identity: BLUE,
            ..event(cookie)
        }
    };
    let batches: Vec<Batch> = (0..BATCHES)
        .map(|batch| (0..EVENTS).map(|index| bytes(&flow(batch * EVENTS + index))).collect())
        .collect();
    let forensics = Forensics::new("node-1".to_owned(), DEFAULT_CAPACITY);
    let begin = Instant::now();
    for batch in &batches {
        let records: Vec<_> = desk.records(batch).into_iter().map(Arc::new).collect();
        forensics.append(&records);
    }
    let took = begin.elapsed();
    assert_eq!(forensics.totals().stored, BATCHES * EVENTS);
    let each = took / u32::try_from(BATCHES * EVENTS).unwrap();
    println!("{each:?} a record, of {} bytes and what it points to", size_of::<v1::Record>());
}
