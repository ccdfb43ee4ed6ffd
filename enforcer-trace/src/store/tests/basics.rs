//! What goes in comes out, from the log and from sealed files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use enforcer_proto::v1;

use super::{Bench, NOW, SECOND, record};
use crate::keys::{Keys as _, PublicKey};
use crate::limits::Keep;
use crate::name::HOUR_NS;
use crate::{StoreError, chain};

#[test]
fn what_was_appended_is_there_before_and_after_it_is_sealed() {
    let bench = Bench::new();
    let mut store = bench.open_on(std::sync::Arc::new(crate::disk::Local)).unwrap().0;
    let records: Vec<_> = (1..=100).map(|sequence| record(sequence, "red", "world")).collect();
    assert_eq!(store.append(&records[..60], NOW).unwrap().sequence, 60);
    assert_eq!(store.append(&records[60..], NOW).unwrap().sequence, 100);
    let expected: Vec<v1::Record> = records.iter().map(|record| v1::Record::clone(record)).collect();
    assert_eq!(bench.records("red"), expected);
    store.seal(NOW).unwrap();
    assert_eq!(bench.records("red"), expected);
    assert!(crate::wal::list(&bench.directory.join("wal")).unwrap().is_empty());
    drop(store);
    let (mut store, recovered) = bench.open();
    assert_eq!((recovered.sequence, recovered.segments, recovered.torn_bytes), (100, 0, 0));
    assert_eq!((recovered.lost, recovered.problems), (vec![], vec![]));
    store.append(&[record(101, "red", "world")], NOW).unwrap();
    assert_eq!(bench.records("red").len(), 101);
}

#[test]
fn each_tenant_has_its_own_file_and_of_what_is_shared_its_half() {
    let bench = Bench::new();
    let mut store = bench.store();
    let batch = [record(1, "red", "blue"), record(2, "blue", "blue"), record(3, "host", "world")];
    store.append(&batch, NOW).unwrap();
    store.seal(NOW).unwrap();
    assert_eq!(bench.sequences("red"), [1]);
    assert_eq!(bench.sequences("blue"), [1, 2]);
    assert_eq!(bench.sequences("_node"), [3]);
    assert!(bench.records("red")[0].half);
    assert!(!format!("{:?}", bench.records("red")).contains("blue"));
    let files = chain::live(&bench.directory.join("tenant=blue")).unwrap();
    assert_eq!(files[0].path, "hour=2025-11-28T04/n1-1-2.parquet");
}

#[test]
fn numbers_only_grow() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.append(&[record(5, "red", "red")], NOW).unwrap();
    for wrong in [vec![record(5, "red", "red")], vec![record(7, "red", "red"), record(6, "red", "red")]] {
        assert!(matches!(store.append(&wrong, NOW), Err(StoreError::Sequence { .. })));
    }
    drop(store);
    let (mut store, recovered) = bench.open();
    assert_eq!(recovered.sequence, 5);
    assert!(matches!(
        store.append(&[record(4, "red", "red")], NOW),
        Err(StoreError::Sequence { found: 4, after: 5 })
    ));
}

#[test]
fn everything_is_private_and_locked() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.append(&[record(1, "red", "red")], NOW).unwrap();
    store.seal(NOW).unwrap();
    for (path, _) in bench.snapshot() {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path:?}");
        let above = path.parent().unwrap();
        assert_eq!(fs::metadata(above).unwrap().permissions().mode() & 0o777, 0o700, "{above:?}");
    }
    assert!(matches!(bench.open_on(std::sync::Arc::new(crate::disk::Local)), Err(StoreError::Locked(_))));
    drop(store);
    fs::set_permissions(&bench.directory, fs::Permissions::from_mode(0o750)).unwrap();
    let error = bench.open_on(std::sync::Arc::new(crate::disk::Local)).unwrap_err();
    assert!(matches!(error, StoreError::Permissions { mode: 0o750, .. }));
}

#[test]
fn when_the_hour_turns_a_tick_seals() {
    let bench = Bench::new();
    let mut store = bench.store();
    store.append(&[record(1, "red", "red")], NOW + HOUR_NS - SECOND).unwrap();
    store.tick(NOW + HOUR_NS - 1).unwrap();
    assert!(chain::live(&bench.directory.join("tenant=red")).unwrap().is_empty());
    until_sealed(&mut store, NOW + HOUR_NS);
    store.append(&[record(2, "red", "red")], NOW + HOUR_NS).unwrap();
    assert_eq!(bench.sequences("red"), [1, 2]);
    assert_eq!(chain::live(&bench.directory.join("tenant=red")).unwrap().len(), 1);
}

fn until_sealed(store: &mut crate::Store, now_ns: u64) {
    for _ in 0..1000 {
        store.tick(now_ns).unwrap();
        if store.status().segments == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("not sealed: {:?}", store.status());
}

#[test]
fn a_segment_that_has_grown_is_sealed_within_its_hour() {
    let mut bench = Bench::new();
    bench.limits.segment_bytes = 1000;
    let mut store = bench.store();
    for sequence in 1..20 {
        store.append(&[record(sequence, "red", "red")], NOW).unwrap();
        store.tick(NOW).unwrap();
    }
    until_sealed(&mut store, NOW + HOUR_NS);
    assert!(chain::live(&bench.directory.join("tenant=red")).unwrap().len() > 2);
    assert_eq!(bench.sequences("red"), (1..20).collect::<Vec<_>>());
}

#[test]
fn files_are_portioned_and_the_chain_says_where_their_row_groups_are() {
    let mut bench = Bench::new();
    bench.limits.file_records = 10;
    let mut store = bench.store();
    let records: Vec<_> = (1..=25).map(|sequence| record(sequence, "red", "red")).collect();
    store.append(&records, NOW).unwrap();
    store.seal(NOW).unwrap();
    let files = chain::live(&bench.directory.join("tenant=red")).unwrap();
    let facts: Vec<_> = files.iter().map(|file| (file.first, file.last, file.records)).collect();
    assert_eq!(facts, [(1, 10, 10), (11, 20, 10), (21, 25, 5)]);
    for file in files {
        let size = fs::metadata(bench.directory.join("tenant=red").join(&file.path)).unwrap().len();
        assert_eq!((file.bytes, file.row_groups.len()), (size, 1));
        let group = file.row_groups[0];
        assert!(group.offset + group.length <= size);
        assert_eq!((group.first, group.last), (file.first, file.last));
        assert!(file.first_time_ns >= NOW && file.first_time_ns < file.last_time_ns);
    }
}

#[test]
fn what_is_too_old_or_too_much_goes_and_the_chain_says_so() {
    let mut bench = Bench::new();
    bench.limits.keep = Keep { age_ns: 10 * HOUR_NS, bytes: u64::MAX };
    let mut store = bench.store();
    for hour in 0..4 {
        store.append(&[record(hour + 1, "red", "red")], NOW + hour * HOUR_NS).unwrap();
        store.seal(NOW + hour * HOUR_NS).unwrap();
    }
    let size = store.status().tenants[0].bytes / 4;
    store.tick(NOW + 10 * HOUR_NS).unwrap();
    assert_eq!(bench.sequences("red"), [1, 2, 3, 4]);
    drop(store);
    bench.limits.keep.bytes = size * 5 / 2;
    let mut store = bench.store();
    store.tick(NOW + 10 * HOUR_NS).unwrap();
    assert_eq!(bench.sequences("red"), [3, 4]);
    let red = store.status().tenants[0].clone();
    assert_eq!((red.files, red.records, red.removed), (2, 2, 2));
    assert!(!bench.directory.join("tenant=red/hour=2025-11-28T04").exists());
    store.tick(NOW + 30 * HOUR_NS).unwrap();
    assert_eq!((bench.sequences("red"), store.status().tenants[0].removed), (vec![], 4));
}

#[test]
fn checkpoints_are_written_at_most_once_a_second_and_only_with_news() {
    let bench = Bench::new();
    let mut store = bench.store();
    let number = |store: &crate::Store| {
        crate::checkpoint::Checkpoint::parse(&store.status().checkpoint).unwrap().body.number
    };
    let first = number(&store);
    for sequence in 1..50 {
        store.append(&[record(sequence, "red", "red")], NOW + sequence).unwrap();
    }
    assert_eq!(number(&store), first);
    store.tick(NOW + SECOND).unwrap();
    assert_eq!(number(&store), first + 1);
    store.tick(NOW + 3 * SECOND).unwrap();
    assert_eq!(number(&store), first + 1);
    let bytes = fs::read(bench.directory.join("checkpoint.json")).unwrap();
    assert_eq!(bytes, store.status().checkpoint);
    let pem = fs::read_to_string(bench.directory.join("signer.pub")).unwrap();
    assert_eq!(PublicKey::parse(&pem), Ok(PublicKey(bench.keys.public())));
}

#[test]
fn a_record_larger_than_any_frame_is_counted_and_the_rest_is_kept() {
    let bench = Bench::new();
    let mut store = bench.store();
    let large = v1::Record { packet: vec![7; 2 << 20], ..v1::Record::clone(&record(1, "red", "red")) };
    let appended = store.append(&[large.into(), record(2, "red", "red")], NOW).unwrap();
    assert_eq!(appended.lost.len(), 1);
    assert_eq!((appended.lost[0].cause, appended.lost[0].records), ("record_too_large", 1));
    assert_eq!((appended.sequence, bench.sequences("red")), (2, vec![2]));
}

#[test]
fn a_batch_larger_than_a_frame_takes_several() {
    let bench = Bench::new();
    let mut store = bench.store();
    let big = |sequence| {
        let mut record = v1::Record::clone(&record(sequence, "red", "red"));
        record.packet = vec![u8::try_from(sequence % 251).unwrap(); 900_000];
        std::sync::Arc::new(record)
    };
    let batch: Vec<_> = (1..=12).map(big).collect();
    store.append(&batch, NOW).unwrap();
    assert_eq!(bench.sequences("red"), (1..=12).collect::<Vec<_>>());
    store.seal(NOW).unwrap();
    assert_eq!(bench.sequences("red"), (1..=12).collect::<Vec<_>>());
}
