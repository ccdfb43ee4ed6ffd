//! Full disks and disks that cannot be written.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::faulty::Faulty;
use super::{Bench, NOW, record, sample};
use crate::StoreError;
use crate::chain::{self, Lines, RemovedWhy, What};
use crate::name::HOUR_NS;

/// Three sealed hours, then a disk with no room but what is freed.
fn filled() -> (Bench, Arc<Faulty>, crate::Store) {
    let bench = Bench::new();
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    for hour in 0..3 {
        store.append(&[record(hour + 1, "red", "red")], NOW + hour * HOUR_NS).unwrap();
        store.seal(NOW + hour * HOUR_NS).unwrap();
    }
    disk.room.store(0, Ordering::SeqCst);
    disk.is_full.store(true, Ordering::SeqCst);
    (bench, disk, store)
}

#[test]
fn on_a_full_disk_the_oldest_file_goes_and_the_record_is_kept() {
    let (bench, disk, mut store) = filled();
    // No room at first: the reserve lets the line be written, the oldest file makes room for the rest.
    let appended = store.append(&[record(10, "red", "red")], NOW + 4 * HOUR_NS).unwrap();
    assert_eq!((appended.sequence, appended.lost.len()), (10, 0));
    assert_eq!(bench.sequences("red"), [2, 3, 10]);
    assert_eq!(store.status().tenants[0].removed, 1);
    let lines = Lines::open(&bench.directory.join("tenant=red").join(chain::NAME)).unwrap().unwrap();
    let last = lines.last().unwrap().unwrap().parse().unwrap();
    let What::Removed(removed) = last.what else { panic!("{last:?}") };
    assert_eq!((removed.why, removed.first, removed.records), (RemovedWhy::DiskFull, 1, 1));
    disk.is_full.store(false, Ordering::SeqCst);
    store.seal(NOW + 5 * HOUR_NS).unwrap();
    assert_eq!(bench.sequences("red"), [2, 3, 10]);
}

#[test]
fn when_nothing_is_left_to_go_security_goes_before_samples_and_then_an_error_says_so() {
    let bench = Bench::new();
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    store.append(&[record(1, "red", "red")], NOW).unwrap();
    std::fs::remove_file(bench.directory.join("reserve")).unwrap();
    disk.is_full.store(true, Ordering::SeqCst);
    disk.room.store(700, Ordering::SeqCst);
    let mut batch: Vec<_> = (2..500).map(|sequence| sample(sequence, "red")).collect();
    batch.push(record(500, "red", "red"));
    batch.push(record(501, "blue", "red"));
    disk.room.store(2000, Ordering::SeqCst);
    let appended = store.append(&batch, NOW).unwrap();
    let lost: Vec<_> = appended.lost.iter().map(|loss| (&*loss.tenant, loss.cause, loss.records)).collect();
    assert_eq!(lost, [("red", "store_full", 498)]);
    assert_eq!(bench.sequences("red"), [1, 500, 501]);
    assert_eq!(bench.sequences("blue"), [501]);

    disk.room.store(0, Ordering::SeqCst);
    let error = store.append(&[sample(600, "red"), record(601, "red", "red")], NOW).unwrap_err();
    assert!(matches!(error, StoreError::Full { records: 2 }), "{error}");
    let error = store.append(&[sample(602, "red")], NOW).unwrap_err();
    assert!(matches!(error, StoreError::Full { records: 1 }), "{error}");
    assert!(!store.status().problems.is_empty());

    disk.is_full.store(false, Ordering::SeqCst);
    assert_eq!(store.append(&[record(603, "red", "red")], NOW).unwrap().sequence, 603);
    assert_eq!(bench.sequences("red"), [1, 500, 501, 603]);
    assert!(store.status().problems.is_empty(), "{:?}", store.status().problems);
    drop(store);
    let mut store = bench.store();
    store.seal(NOW).unwrap();
    assert_eq!(bench.sequences("red"), [1, 500, 501, 603]);
}

#[test]
fn sealing_on_a_full_disk_is_tried_again_and_the_log_stays() {
    let bench = Bench::new();
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    store.append(&[record(1, "red", "red")], NOW).unwrap();
    std::fs::remove_file(bench.directory.join("reserve")).unwrap();
    disk.is_full.store(true, Ordering::SeqCst);
    let error = store.seal(NOW).unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(bench.sequences("red"), [1]);
    disk.is_full.store(false, Ordering::SeqCst);
    store.seal(NOW).unwrap();
    assert_eq!(bench.sequences("red"), [1]);
}

#[test]
fn a_log_that_cannot_be_sealed_and_grows_too_large_goes_from_its_old_end_and_is_counted() {
    let mut bench = Bench::new();
    bench.limits.log_bytes = 3000;
    bench.limits.segment_bytes = 900;
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    let mut dropped = 0;
    for sequence in 1..=40 {
        store.append(&[record(sequence, "red", "red")], NOW).unwrap();
        // Files cannot be written; lines and log can.
        let seal = bench.directory.join("tenant=red/hour=2025-11-28T04");
        let _blocked =
            std::fs::create_dir_all(seal.parent().unwrap()).and_then(|()| std::fs::write(&seal, b""));
        let _fails = store.tick(NOW);
        dropped = store.status().losses.iter().map(|loss| loss.records).sum();
    }
    assert!(dropped > 0);
    let found = bench.sequences("red");
    assert_eq!(u64::try_from(found.len()).unwrap() + dropped, 40);
    assert_eq!(found.last(), Some(&40));
    assert!(store.status().losses.iter().all(|loss| loss.cause == "store_full"));
}

#[test]
fn a_read_only_disk_is_said_and_later_it_goes_on() {
    let bench = Bench::new();
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    store.append(&[record(1, "red", "red")], NOW).unwrap();
    disk.is_read_only.store(true, Ordering::SeqCst);
    for sequence in [2, 3] {
        let error = store.append(&[record(sequence, "red", "red")], NOW).unwrap_err();
        assert!(matches!(error, StoreError::ReadOnly { records: 1, .. }), "{error}");
    }
    // The thread that seals tells at a later tick.
    assert!((0..500).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(2));
        store.tick(NOW + HOUR_NS).is_err_and(|error| error.is_read_only())
    }));
    disk.is_read_only.store(false, Ordering::SeqCst);
    store.append(&[record(4, "red", "red")], NOW + HOUR_NS).unwrap();
    store.seal(NOW + HOUR_NS).unwrap();
    assert_eq!(bench.sequences("red"), [1, 4]);
}

#[test]
fn a_disk_that_gets_full_is_cleared_before_it_is() {
    let mut bench = Bench::new();
    bench.limits.free_bytes = 1000;
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    for hour in 0..3 {
        store.append(&[record(hour + 1, "red", "red")], NOW + hour * HOUR_NS).unwrap();
        store.seal(NOW + hour * HOUR_NS).unwrap();
    }
    disk.is_full.store(true, Ordering::SeqCst);
    disk.room.store(900, Ordering::SeqCst);
    store.tick(NOW + 3 * HOUR_NS).unwrap();
    assert_eq!(bench.sequences("red"), [2, 3]);
}
