//! A disk that is really full: a small tmpfs, which needs root.

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{Bench, NOW, SECOND, record};
use crate::StoreError;

struct Mounted<'a>(&'a std::path::Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _gone = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

fn big(sequence: u64) -> std::sync::Arc<enforcer_proto::v1::Record> {
    let mut record = enforcer_proto::v1::Record::clone(&record(sequence, "red", "red"));
    // It does not shrink: a small generator, seeded by its number.
    let mut state = sequence;
    record.packet = (0..40_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    record.into()
}

#[test]
#[ignore = "needs root: it mounts a tmpfs"]
fn a_full_disk_takes_new_records_at_the_cost_of_the_oldest() {
    let bench = Bench::new();
    let parent = bench.directory.parent().unwrap().to_owned();
    mount(Some("tmpfs"), &parent, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
    let _mounted = Mounted(&parent);
    let mut store = bench.open_on(std::sync::Arc::new(crate::disk::Local)).unwrap().0;
    for sequence in 1..=300 {
        let now = NOW + sequence * SECOND;
        let appended = store.append(&[big(sequence)], now).unwrap();
        assert!(appended.lost.is_empty(), "{sequence}: {appended:?}");
        if sequence % 10 == 0 {
            store.seal(now).unwrap();
        }
    }
    let found = bench.sequences("red");
    assert_eq!(found.last(), Some(&300));
    assert!(found.len() > 20 && found.len() < 200, "{}", found.len());
    assert_eq!(found, (300 - u64::try_from(found.len()).unwrap() + 1..=300).collect::<Vec<_>>());
    assert_eq!(store.status().tenants[0].removed + u64::try_from(found.len()).unwrap(), 300);
    let report = crate::verify::verify(&bench.directory, &Default::default()).unwrap();
    assert_eq!(report.findings, []);

    // Somebody else fills what is left: then it is said, and afterwards it goes on.
    let mut others = Vec::new();
    for number in 0..64 {
        let path = parent.join(format!("other-{number}"));
        if std::fs::write(&path, vec![0; 128 << 10]).is_err() {
            others.push(path);
            break;
        }
        others.push(path);
    }
    let errors = (301..400).filter(|sequence| {
        let outcome = store.append(&[big(*sequence)], NOW + 400 * SECOND);
        matches!(outcome, Err(StoreError::Full { records: 1 }))
    });
    assert!(errors.count() > 0);
    for path in others {
        std::fs::remove_file(path).unwrap();
    }
    store.append(&[big(400)], NOW + 401 * SECOND).unwrap();
    drop(store);
    let (_, recovered) = bench.open();
    assert_eq!((recovered.sequence, recovered.lost, recovered.problems), (400, vec![], vec![]));
    assert_eq!(bench.sequences("red").last(), Some(&400));
}
