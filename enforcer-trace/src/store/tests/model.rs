//! Any sequence of appends, ticks, seals, deaths and repairs: what was acknowledged comes back, once, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::faulty::Faulty;
use super::{Bench, NOW, record};
use crate::name::HOUR_NS;

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: u64,
        tenants: (u8, u8),
    },
    Tick {
        minutes: u64,
    },
    Seal,
    Reopen,
    /// After so many operations the disk dies; then a new agent comes.
    Die {
        after: u64,
    },
    Full {
        room: u64,
    },
    Roomy,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..20u64, 0..3u8, 0..3u8).prop_map(|(count, a, b)| Step::Append { count, tenants: (a, b) }),
        2 => (0..50u64).prop_map(|minutes| Step::Tick { minutes }),
        2 => Just(Step::Seal),
        1 => Just(Step::Reopen),
        2 => (1..40u64).prop_map(|after| Step::Die { after }),
        1 => (0..3000u64).prop_map(|room| Step::Full { room }),
        1 => Just(Step::Roomy),
    ]
}

const TENANTS: [&str; 3] = ["red", "blue", "green"];

/// What should be there of each tenant: acknowledged, and perhaps more of batches that were not.
#[derive(Default)]
struct Expected {
    sequence: u64,
    acknowledged: [Vec<u64>; 3],
    perhaps: Vec<u64>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_comes_back_once_and_in_order(steps in proptest::collection::vec(step(), 1..25)) {
        let bench = Bench::new();
        let disk = Arc::new(Faulty::default());
        let mut store = bench.open_on(Arc::clone(&disk) as Arc<_>).unwrap().0;
        let mut expected = Expected::default();
        let mut now = NOW;
        for step in steps {
            match step {
                Step::Append { count, tenants: (a, b) } => {
                    let ends = [usize::from(a), usize::from(b)];
                    let batch: Vec<_> = (expected.sequence + 1..=expected.sequence + count)
                        .map(|sequence| record(sequence, TENANTS[ends[0]], TENANTS[ends[1]]))
                        .collect();
                    let sequences = expected.sequence + 1..=expected.sequence + count;
                    expected.sequence += count;
                    if store.append(&batch, now).is_ok() {
                        expected.acknowledged[ends[0]].extend(sequences.clone());
                        if ends[0] != ends[1] {
                            expected.acknowledged[ends[1]].extend(sequences);
                        }
                    } else {
                        expected.perhaps.extend(sequences);
                    }
                }
                Step::Tick { minutes } => {
                    disk.is_full.store(false, Ordering::SeqCst);
                    now += minutes * HOUR_NS / 60;
                    let _may_fail = store.tick(now);
                }
                Step::Seal => {
                    disk.is_full.store(false, Ordering::SeqCst);
                    let _may_fail = store.seal(now);
                }
                Step::Reopen => {
                    drop(store);
                    disk.is_full.store(false, Ordering::SeqCst);
                    disk.dies_at.store(0, Ordering::SeqCst);
                    store = reopen(&bench, &disk, &mut expected)?;
                }
                Step::Die { after } => {
                    disk.dies_at.store(disk.done.load(Ordering::SeqCst) + after, Ordering::SeqCst);
                }
                Step::Full { room } => {
                    // Files would go to make room, and that is another test's business: only the log is full here.
                    if store.status().tenants.iter().all(|tenant| tenant.files == 0) {
                        disk.room.store(room, Ordering::SeqCst);
                        disk.is_full.store(true, Ordering::SeqCst);
                    }
                }
                Step::Roomy => disk.is_full.store(false, Ordering::SeqCst),
            }
            if store.status().tenants.iter().any(|tenant| tenant.files > 0) {
                disk.is_full.store(false, Ordering::SeqCst);
            }
        }
        drop(store);
        disk.is_full.store(false, Ordering::SeqCst);
        disk.dies_at.store(0, Ordering::SeqCst);
        let mut store = reopen(&bench, &disk, &mut expected)?;
        store.seal(now).unwrap();
        expected.check(&bench)?;
        drop(store);
        let report = crate::verify::verify(&bench.directory, &Default::default()).unwrap();
        prop_assert_eq!(report.findings, []);
    }
}

fn reopen(bench: &Bench, disk: &Arc<Faulty>, expected: &mut Expected) -> Result<crate::Store, TestCaseError> {
    let (store, recovered) = bench.open_on(Arc::clone(disk) as Arc<_>).unwrap();
    prop_assert_eq!(recovered.lost, vec![]);
    prop_assert_eq!(recovered.problems, Vec::<String>::new());
    let last = expected.acknowledged.iter().filter_map(|list| list.last()).max().copied().unwrap_or(0);
    prop_assert!(recovered.sequence >= last && recovered.sequence <= expected.sequence);
    expected.check(bench)?;
    Ok(store)
}

impl Expected {
    fn check(&self, bench: &Bench) -> Result<(), TestCaseError> {
        for (tenant, acknowledged) in TENANTS.iter().zip(&self.acknowledged) {
            let found = bench.sequences(tenant);
            prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{}: {:?}", tenant, found);
            let sure: Vec<u64> =
                found.iter().copied().filter(|sequence| !self.perhaps.contains(sequence)).collect();
            prop_assert_eq!(&sure, acknowledged, "{}", tenant);
        }
        Ok(())
    }
}
