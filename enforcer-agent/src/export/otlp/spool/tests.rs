use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;

const KEY: [u8; 32] = [7; 32];
const MAX_BYTES: u64 = 64 * 1024;

fn sealed() -> Cipher {
    Cipher::new(Some(&KEY)).unwrap()
}

fn open(directory: &Path) -> (Spool, Recovered) {
    Spool::open(directory, sealed(), MAX_BYTES).unwrap()
}

/// Three records of a kilobyte.
fn batch(first: u64) -> Batch {
    Batch {
        run: 9,
        first,
        last: first + 2,
        records: 3,
        payload: vec![u8::try_from(first % 251).unwrap(); 1_024],
    }
}

fn append(spool: &mut Spool, batch: &Batch) -> u64 {
    let (dropped, room) = spool.make_room(batch);
    room.unwrap();
    spool.append(batch).unwrap();
    dropped
}

/// First numbers of everything that waits, taken off.
fn drain(spool: &mut Spool) -> Vec<u64> {
    let mut firsts = Vec::new();
    while let Next::Batch(id, batch) = spool.next().unwrap() {
        firsts.push(batch.first);
        spool.take_off(id).unwrap();
    }
    firsts
}

fn segment_files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "spool"))
        .collect();
    files.sort();
    files
}

#[test]
fn what_is_appended_is_handed_out_in_order_and_once() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, recovered) = open(place.path());
    assert_eq!(recovered, Recovered::default());
    for first in [1, 4, 7] {
        append(&mut spool, &batch(first));
    }
    assert_eq!(spool.records(), 9);
    let Next::Batch(id, first) = spool.next().unwrap() else { panic!("nothing") };
    assert_eq!(first, batch(1));
    let Next::Batch(again, _) = spool.next().unwrap() else { panic!("nothing") };
    assert_eq!(id, again);
    assert_eq!(drain(&mut spool), [1, 4, 7]);
    assert_eq!((spool.records(), spool.bytes()), (0, 0));
    assert!(segment_files(place.path()).is_empty());
}

#[test]
fn a_restart_goes_on_behind_what_was_taken_off() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(place.path());
    (0..4).for_each(|n| _ = append(&mut spool, &batch(1 + 3 * n)));
    let Next::Batch(id, _) = spool.next().unwrap() else { panic!("nothing") };
    spool.take_off(id).unwrap();
    let Next::Batch(..) = spool.next().unwrap() else { panic!("nothing") };
    drop(spool);
    let (mut spool, recovered) = open(place.path());
    assert_eq!(recovered, Recovered { records: 9, torn_bytes: 0, last: Some((9, 12)) });
    append(&mut spool, &batch(13));
    assert_eq!(drain(&mut spool), [4, 7, 10, 13]);
    drop(spool);
    let (mut spool, recovered) = open(place.path());
    assert_eq!(recovered.last, Some((9, 15)), "known though nothing waits any more");
    append(&mut spool, &batch(16));
    assert_eq!(drain(&mut spool), [16]);
}

#[test]
fn a_full_spool_drops_the_oldest_and_counts_them() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(place.path());
    let dropped: u64 = (0..200).map(|n| append(&mut spool, &batch(1 + 3 * n))).sum();
    assert!(spool.bytes() <= MAX_BYTES);
    let left = drain(&mut spool);
    let expected: Vec<u64> = (0..200).map(|n| 1 + 3 * n).skip(200 - left.len()).collect();
    assert_eq!(left, expected, "the newest, without a gap");
    assert_eq!(dropped + 3 * u64::try_from(left.len()).unwrap(), 600);
    assert!(left.len() > 40, "{} batches of a kilobyte fit", left.len());
}

#[test]
fn what_is_under_way_is_never_dropped_also_not_by_a_restart() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(place.path());
    append(&mut spool, &batch(1));
    append(&mut spool, &batch(4));
    let Next::Batch(id, _) = spool.next().unwrap() else { panic!("nothing") };
    let dropped: u64 = (2..200).map(|n| append(&mut spool, &batch(1 + 3 * n))).sum();
    assert!(dropped > 0 && spool.bytes() <= MAX_BYTES);
    drop(spool);
    let (mut spool, recovered) = open(place.path());
    assert_eq!(recovered.records + dropped, 600);
    let Next::Batch(still, under_way) = spool.next().unwrap() else { panic!("nothing") };
    assert_eq!((still, under_way.first), (id, 1));
    let left = drain(&mut spool);
    assert_eq!(dropped + 3 * u64::try_from(left.len()).unwrap(), 600);
}

#[test]
fn a_batch_that_no_spool_can_hold_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(place.path());
    append(&mut spool, &batch(1));
    let large = Batch { payload: vec![0; 64 * 1024], ..batch(4) };
    assert!(matches!(spool.make_room(&large), (0, Err(SpoolError::TooLarge { .. }))));
    assert_eq!(drain(&mut spool), [1]);
}

#[test]
fn a_spool_cut_at_any_byte_keeps_every_whole_batch_and_goes_on() {
    let whole = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(whole.path());
    let small = |first| Batch { payload: vec![1; 20], ..batch(first) };
    (0..3).for_each(|n| _ = append(&mut spool, &small(1 + 3 * n)));
    drop(spool);
    let file = segment_files(whole.path()).remove(0);
    let bytes = fs::read(&file).unwrap();
    let frame = bytes.len() / 3;
    for cut in 0..bytes.len() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join(file.file_name().unwrap()), &bytes[..cut]).unwrap();
        let (mut spool, recovered) = open(place.path());
        let (kept, torn) = (u64::try_from(cut / frame).unwrap(), u64::try_from(cut % frame).unwrap());
        assert_eq!((recovered.records, recovered.torn_bytes), (3 * kept, torn), "cut at {cut}");
        assert_eq!(recovered.last, (kept > 0).then_some((9, 3 * kept)));
        append(&mut spool, &small(100));
        let expected: Vec<u64> = (0..kept).map(|n| 1 + 3 * n).chain([100]).collect();
        assert_eq!(drain(&mut spool), expected, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_counted_or_cut_off() {
    let whole = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(whole.path());
    let small = |first| Batch { payload: vec![1; 20], ..batch(first) };
    (0..2).for_each(|n| _ = append(&mut spool, &small(1 + 3 * n)));
    drop(spool);
    let file = segment_files(whole.path()).remove(0);
    let bytes = fs::read(&file).unwrap();
    for at in 0..bytes.len() / 2 {
        let place = tempfile::tempdir().unwrap();
        let mut flipped = bytes.clone();
        flipped[at] ^= 4;
        fs::write(place.path().join(file.file_name().unwrap()), &flipped).unwrap();
        let (mut spool, recovered) = open(place.path());
        match spool.next().unwrap() {
            Next::Damaged(records) => {
                assert_eq!((records, recovered.records), (3, 6), "a body, at {at}");
                assert_eq!(drain(&mut spool), [4]);
            }
            Next::Nothing => {
                assert_eq!(recovered.torn_bytes, u64::try_from(bytes.len()).unwrap(), "a header, at {at}")
            }
            Next::Batch(_, batch) => panic!("{batch:?} though a bit was flipped at {at}"),
        }
    }
}

#[test]
fn contents_lie_sealed_and_another_key_does_not_open_them() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(place.path());
    append(&mut spool, &Batch { payload: b"a tenant's secret".repeat(10), ..batch(1) });
    drop(spool);
    let file = segment_files(place.path()).remove(0);
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"secret"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(place.path()).unwrap().permissions().mode() & 0o777, 0o700);
    for other in [Cipher::new(Some(&[8; 32])).unwrap(), Cipher::new(None).unwrap()] {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
        let (mut spool, _) = Spool::open(copy.path(), other, MAX_BYTES).unwrap();
        assert!(matches!(spool.next().unwrap(), Next::Damaged(3)));
    }
}

#[test]
fn a_spool_without_a_key_works_and_notices_damage_all_the_same() {
    let place = tempfile::tempdir().unwrap();
    let plain = || Cipher::new(None).unwrap();
    let (mut spool, _) = Spool::open(place.path(), plain(), MAX_BYTES).unwrap();
    append(&mut spool, &batch(1));
    append(&mut spool, &batch(4));
    drop(spool);
    let file = segment_files(place.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    let (mut spool, _) = Spool::open(place.path(), plain(), MAX_BYTES).unwrap();
    assert!(matches!(spool.next().unwrap(), Next::Damaged(3)));
    assert_eq!(drain(&mut spool), [4]);
}

#[test]
fn a_position_that_is_lost_or_damaged_delivers_twice_and_never_not_at_all() {
    for contents in [None, Some("")] {
        let place = tempfile::tempdir().unwrap();
        let (mut spool, _) = open(place.path());
        append(&mut spool, &batch(1));
        append(&mut spool, &batch(4));
        let Next::Batch(id, _) = spool.next().unwrap() else { panic!("nothing") };
        spool.take_off(id).unwrap();
        drop(spool);
        let position = place.path().join("position");
        match contents {
            None => fs::remove_file(&position).unwrap(),
            Some(text) => fs::write(&position, text).unwrap(),
        }
        let (mut spool, _) = open(place.path());
        assert_eq!(drain(&mut spool), [1, 4]);
    }
}

#[test]
fn a_write_that_fails_loses_nothing_that_was_appended() {
    let place = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(place.path());
    append(&mut spool, &batch(1));
    // As a full disk does: bytes of the frame, then no more.
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let writer = spool.writer.replace(full);
    assert!(matches!(spool.append(&batch(4)), Err(SpoolError::Io { operation: "write to", .. })));
    drop(writer);
    append(&mut spool, &batch(7));
    drop(spool);
    let (mut spool, recovered) = open(place.path());
    assert_eq!(recovered.records, 6);
    assert_eq!(drain(&mut spool), [1, 7]);
}
