//! How fast records are taken in, apart from waiting for a disk. Says so; it holds nobody to a number.

use std::sync::Arc;
use std::time::Instant;

use super::{Bench, NOW, sample};
use crate::wal;

#[test]
#[ignore = "a measurement, of use in a release build"]
fn appending() {
    let bench = Bench::new();
    let mut store = bench.store();
    let (batch, batches) = (2000_u64, 100_u64);
    let records: Vec<Vec<Arc<_>>> = (0..batches)
        .map(|number| {
            let first = number * batch + 1;
            (first..first + batch)
                .map(|sequence| sample(sequence, ["red", "blue"][usize::from(sequence % 2 == 0)]))
                .collect()
        })
        .collect();
    let started = Instant::now();
    for batch in &records {
        store.append(batch, NOW).unwrap();
    }
    let appended = started.elapsed();
    let log = std::fs::metadata(wal::path(&bench.directory.join("wal"), 1)).unwrap().len();
    let started = Instant::now();
    store.seal(NOW).unwrap();
    let sealed = started.elapsed();
    let total = batch * batches;
    let bytes: u64 = store.status().tenants.iter().map(|tenant| tenant.bytes).sum();
    println!(
        "{total} records: appended in {appended:?}, sealed in {sealed:?}, {log} bytes in the log, {bytes} sealed"
    );
    assert_eq!(store.status().tenants.iter().map(|tenant| tenant.records).sum::<u64>(), total);
}
