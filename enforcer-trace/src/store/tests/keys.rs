//! Keys that are gone, and keys that are others.

use std::sync::Arc;

use super::{Bench, NOW, record};
use crate::chain::{self, Lines, LostWhy, What};
use crate::keys::{Keys as _, Memory, PublicKey};
use crate::receipt::Receipt;
use crate::{Store, wal};

fn with_two() -> (Bench, Store) {
    let bench = Bench::new();
    let mut store = bench.store();
    store.append(&[record(1, "red", "red"), record(2, "blue", "blue")], NOW).unwrap();
    store.seal(NOW).unwrap();
    store.append(&[record(3, "red", "red"), record(4, "blue", "blue")], NOW).unwrap();
    (bench, store)
}

#[test]
fn a_destroyed_tenant_can_never_be_read_again_and_the_others_can() {
    let (bench, mut store) = with_two();
    let files = chain::live(&bench.directory.join("tenant=red")).unwrap();
    bench.keys.destroy("red");
    let receipt = store.destroyed("red", "contract ended", "uid:0", NOW + 5).unwrap();
    assert_eq!((receipt.body.files, receipt.body.records, receipt.body.first), (1, 1, 1));
    let path = bench.directory.join(format!("receipts/red-{}.json", NOW + 5));
    let json = std::fs::read_to_string(path).unwrap();
    assert_eq!(Receipt::verified(&json, &PublicKey(bench.keys.public())), Some(receipt));

    let appended = store.append(&[record(5, "red", "red"), record(6, "blue", "blue")], NOW).unwrap();
    assert_eq!(appended.sequence, 6);
    let lost: Vec<_> = appended.lost.iter().map(|loss| (&*loss.tenant, loss.cause, loss.records)).collect();
    assert_eq!(lost, [("red", "key_destroyed", 1)]);
    let log = bench.directory.join(wal::DIRECTORY);
    assert!(wal::records(&log, bench.keys.as_ref(), "red", 0).unwrap().any(|record| record.is_err()));
    store.seal(NOW).unwrap();
    assert_eq!(bench.sequences("blue"), [2, 4, 6]);
    assert_eq!(chain::live(&bench.directory.join("tenant=red")).unwrap(), files);
    let lines = Lines::open(&bench.directory.join("tenant=red").join(chain::NAME)).unwrap().unwrap();
    let What::Lost(lost) = lines.last().unwrap().unwrap().parse().unwrap().what else { panic!() };
    assert_eq!((lost.why, lost.first, lost.last, lost.records), (LostWhy::KeyDestroyed, 3, 3, 1));

    drop(store);
    let report = crate::verify::verify(&bench.directory, &Default::default()).unwrap();
    assert_eq!(report.findings, []);
    let (_, recovered) = bench.open();
    assert_eq!((recovered.sequence, recovered.lost.len()), (6, 0));
}

#[test]
fn only_records_of_a_destroyed_tenant_make_no_segment() {
    let bench = Bench::new();
    let mut store = bench.store();
    bench.keys.destroy("red");
    for sequence in 1..4 {
        let appended = store.append(&[record(sequence, "red", "red")], NOW).unwrap();
        assert_eq!((appended.sequence, appended.lost[0].cause), (sequence, "key_destroyed"));
    }
    assert!(wal::list(&bench.directory.join("wal")).unwrap().is_empty());
    store.append(&[record(4, "blue", "blue")], NOW).unwrap();
    store.append(&[record(5, "red", "red")], NOW).unwrap();
    store.append(&[record(6, "blue", "blue")], NOW).unwrap();
    assert_eq!(bench.sequences("blue"), [4, 6]);
    assert_eq!(store.status().losses[0].records, 4);
}

#[test]
fn with_other_keys_the_log_is_set_aside_and_said_to_be_unreadable() {
    let (mut bench, store) = with_two();
    drop(store);
    let right = std::mem::replace(&mut bench.keys, Arc::new(Memory::new()));
    let (mut store, recovered) = bench.open();
    // Another signer: nothing that was signed for can be trusted.
    assert!(!recovered.problems.is_empty());
    store.seal(NOW).unwrap();
    let aside = wal::set_aside(&bench.directory.join("wal")).unwrap();
    assert_eq!(aside.len(), 1);
    let losses = store.status().losses;
    assert!(losses.iter().all(|loss| loss.cause == "key_wrong") && losses.len() == 2, "{losses:?}");
    drop(store);
    // The right keys still open what was set aside.
    std::fs::rename(&aside[0], aside[0].with_extension("wal")).unwrap();
    let log = bench.directory.join("wal");
    let found: Vec<u64> = wal::records(&log, right.as_ref(), "red", 0)
        .unwrap()
        .map(|record| record.unwrap().sequence)
        .collect();
    assert_eq!(found, [3]);
}
