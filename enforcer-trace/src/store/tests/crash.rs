//! Deaths: after any byte of the log, at any operation on the disk, between any two steps of sealing.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::faulty::Faulty;
use super::{Bench, NOW, record};
use crate::disk::Disk;
use crate::name::HOUR_NS;
use crate::{StoreError, wal};

#[test]
fn a_crash_after_any_byte_of_the_log_leaves_every_acknowledged_record() {
    let bench = Bench::new();
    let mut store = bench.store();
    let path = wal::path(&bench.directory.join("wal"), 1);
    let mut ends = vec![(0, 0)];
    for sequence in 1..=4 {
        store.append(&[record(sequence, "red", if sequence == 3 { "blue" } else { "red" })], NOW).unwrap();
        ends.push((usize::try_from(fs::metadata(&path).unwrap().len()).unwrap(), sequence));
    }
    drop(store);
    // The checkpoint that was written when the store was opened: later ones would tell of what is cut off here.
    let before = bench.snapshot();
    let whole = before[&path].clone();
    for cut in 0..=whole.len() {
        bench.restore(&before);
        fs::write(&path, &whole[..cut]).unwrap();
        let (acknowledged_bytes, acknowledged) = *ends.iter().rfind(|(end, _)| *end <= cut).unwrap();
        let (mut store, recovered) = bench.open();
        // Of the batch that was being written a tenant's frame may be whole already.
        assert!((acknowledged..=acknowledged + 1).contains(&recovered.sequence), "cut at {cut}");
        let found = bench.sequences("red");
        assert!(
            found == (1..=acknowledged).collect::<Vec<_>>()
                || found == (1..=acknowledged + 1).collect::<Vec<_>>()
        );
        assert!(recovered.torn_bytes <= u64::try_from(cut - acknowledged_bytes).unwrap(), "cut at {cut}");
        assert_eq!((recovered.lost, recovered.problems), (vec![], vec![]), "cut at {cut}");
        store.append(&[record(9, "red", "red")], NOW).unwrap();
        let expected: Vec<u64> = found.into_iter().chain([9]).collect();
        assert_eq!(bench.sequences("red"), expected, "cut at {cut}");
        if cut % 64 == 0 {
            store.seal(NOW).unwrap();
            assert_eq!(bench.sequences("red"), expected, "cut at {cut}");
        }
    }
}

#[test]
fn a_tail_of_zeros_or_rubbish_is_no_record() {
    for tail in [vec![0; 10_000], vec![0x5a; 3], vec![0x5a; 500]] {
        let bench = Bench::new();
        let mut store = bench.store();
        store.append(&[record(1, "red", "red")], NOW).unwrap();
        drop(store);
        let path = wal::path(&bench.directory.join("wal"), 1);
        let mut bytes = fs::read(&path).unwrap();
        bytes.extend_from_slice(&tail);
        fs::write(&path, bytes).unwrap();
        let mut store = bench.store();
        store.append(&[record(2, "red", "red")], NOW).unwrap();
        assert_eq!(bench.sequences("red"), [1, 2]);
        store.seal(NOW).unwrap();
        assert_eq!(bench.sequences("red"), [1, 2]);
    }
}

/// Everything that a store does, until it dies; what was acknowledged.
pub(super) fn live(bench: &Bench, disk: Arc<dyn Disk>) -> Result<Vec<u64>, (Vec<u64>, StoreError)> {
    let mut kept = Vec::new();
    let run = |kept: &mut Vec<u64>| -> Result<(), StoreError> {
        let (mut store, _) = bench.open_on(Arc::clone(&disk))?;
        for (hour, batch) in [[1, 2], [3, 4], [5, 6]].iter().enumerate() {
            let now = NOW + u64::try_from(hour).unwrap() * HOUR_NS;
            let records = batch.map(|sequence| record(sequence, "red", "blue"));
            store.append(&records, now)?;
            kept.extend(batch);
            if hour > 0 {
                store.seal(now)?;
            }
        }
        store.append(&[record(7, "red", "red")], NOW + 3 * HOUR_NS)?;
        kept.push(7);
        store.tick(NOW + 3 * HOUR_NS)?;
        store.checkpoint(NOW + 3 * HOUR_NS)
    };
    match run(&mut kept) {
        Ok(()) => Ok(kept),
        Err(error) => Err((kept, error)),
    }
}

#[test]
fn a_death_at_any_operation_loses_nothing_and_doubles_nothing() {
    let disk = Arc::new(Faulty::default());
    let bench = Bench::new();
    assert_eq!(live(&bench, disk.clone()).unwrap(), [1, 2, 3, 4, 5, 6, 7]);
    let operations = disk.done.load(Ordering::SeqCst);
    assert!(operations > 80, "{operations}");
    for dies_at in 1..=operations {
        let bench = Bench::new();
        let Err((kept, _)) = live(&bench, Arc::new(Faulty::dying_at(dies_at))) else { continue };
        check(&bench, &kept, dies_at);
    }
}

/// What was acknowledged is there once, before and after it is sealed by the next agent.
pub(super) fn check(bench: &Bench, kept: &[u64], dies_at: u64) {
    let (mut store, recovered) = bench.open();
    assert_eq!((&recovered.lost, &recovered.problems), (&vec![], &vec![]), "died at {dies_at}");
    let last = kept.last().copied().unwrap_or(0);
    assert!(recovered.sequence >= last, "died at {dies_at}");
    let found = bench.sequences("red");
    assert!(found.starts_with(kept), "died at {dies_at}: {found:?}, acknowledged {kept:?}");
    let more = &found[kept.len()..];
    assert!(more.is_sorted() && more.iter().all(|sequence| *sequence > last), "died at {dies_at}: {found:?}");
    store.append(&[record(99, "red", "blue")], NOW).unwrap();
    store.seal(NOW + 5 * HOUR_NS).unwrap();
    let expected: Vec<u64> = found.into_iter().chain([99]).collect();
    assert_eq!(bench.sequences("red"), expected, "died at {dies_at}");
    let blue: Vec<u64> = expected.iter().copied().filter(|sequence| *sequence != 7).collect();
    let found: Vec<u64> = bench.sequences("blue").into_iter().filter(|sequence| *sequence != 7).collect();
    assert!(blue.iter().filter(|sequence| kept.contains(sequence)).all(|sequence| found.contains(sequence)));
    assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "died at {dies_at}: {found:?}");
    drop(store);
    let report = crate::verify::verify(&bench.directory, &Default::default()).unwrap();
    assert_eq!(report.findings, [], "died at {dies_at}");
}

#[test]
fn a_death_while_recovering_is_recovered_from() {
    let bench = Bench::new();
    let mut store = bench.store();
    for sequence in 1..=3 {
        store.append(&[record(sequence, "red", "blue")], NOW).unwrap();
    }
    drop(store);
    let before = bench.snapshot();
    for dies_at in 1..60 {
        bench.restore(&before);
        let disk = Arc::new(Faulty::dying_at(dies_at));
        if let Ok((mut store, _)) = bench.open_on(disk) {
            let _dies = store.append(&[record(9, "red", "red")], NOW);
            let _dies = store.seal(NOW);
        }
        let mut store = bench.store();
        store.seal(NOW).unwrap();
        let found = bench.sequences("red");
        assert!(found == [1, 2, 3] || found == [1, 2, 3, 9], "died at {dies_at}: {found:?}");
        assert_eq!(bench.sequences("blue"), [1, 2, 3], "died at {dies_at}");
    }
}

#[test]
fn after_a_wait_for_the_disk_that_failed_the_batch_can_come_again() {
    let bench = Bench::new();
    let disk = Arc::new(Faulty::default());
    let (mut store, _) = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap();
    store.append(&[record(1, "red", "red")], NOW).unwrap();
    disk.does_not_sync.store(true, Ordering::SeqCst);
    // It is in the file, and nobody knows whether on the disk.
    store.append(&[record(2, "red", "red")], NOW).unwrap_err();
    store.append(&[record(2, "red", "red")], NOW).unwrap_err();
    disk.does_not_sync.store(false, Ordering::SeqCst);
    store.append(&[record(2, "red", "red"), record(3, "red", "red")], NOW).unwrap();
    assert_eq!(bench.sequences("red"), [1, 2, 3]);
    drop(store);
    let mut store = bench.store();
    assert_eq!(bench.sequences("red"), [1, 2, 3]);
    store.seal(NOW).unwrap();
    assert_eq!(bench.sequences("red"), [1, 2, 3]);
}
