//! What somebody changes, removes, reorders, cuts off or puts back is found, and named by its place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Bench, NOW, SECOND, record};
use crate::chain::LostWhy;
use crate::keys::{Keys as _, Memory, PublicKey};
use crate::name::HOUR_NS;
use crate::verify::{Finding, VerifyOptions, VerifyReport, Wrong, verify};
use crate::wal;

/// Two tenants, two sealed hours, a receipt, and a log of five frames, all signed for.
fn store() -> Bench {
    let bench = Bench::new();
    let mut store = bench.store();
    for hour in 0..2 {
        let first = hour * 10 + 1;
        let batch = [record(first, "red", "blue"), record(first + 1, "red", "red")];
        store.append(&batch, NOW + hour * HOUR_NS).unwrap();
        store.seal(NOW + hour * HOUR_NS).unwrap();
    }
    bench.keys.destroy("gone");
    store.destroyed("gone", "test", "uid:0", NOW).unwrap();
    for sequence in 31..=33 {
        store.append(&[record(sequence, "red", if sequence == 32 { "blue" } else { "red" })], NOW).unwrap();
    }
    store.checkpoint(NOW + 5 * HOUR_NS).unwrap();
    bench
}

fn check(bench: &Bench) -> VerifyReport {
    verify(&bench.directory, &VerifyOptions::default()).unwrap()
}

fn relative(bench: &Bench, path: &Path) -> String {
    path.strip_prefix(&bench.directory).unwrap().to_string_lossy().into_owned()
}

/// Files that hold evidence.
fn evidence(bench: &Bench) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = bench.snapshot();
    files.retain(|path, _| !matches!(relative(bench, path).as_str(), "lock" | "reserve"));
    files
}

fn of<'a>(report: &'a VerifyReport, file: &str) -> Vec<&'a Finding> {
    report.findings.iter().filter(|finding| finding.file == file).collect()
}

fn path_of(bench: &Bench, part: &str) -> PathBuf {
    let files = evidence(bench);
    files.keys().find(|path| relative(bench, path).contains(part)).unwrap().clone()
}

#[test]
fn an_untouched_store_is_clean_with_and_without_keys() {
    let bench = store();
    let report = check(&bench);
    assert_eq!(report.findings, []);
    assert_eq!((report.tenants, report.lines, report.files, report.segments), (2, 4, 4, 1));
    assert_eq!((report.records, report.log_records, report.torn_bytes), (6, 4, 0));
    assert_eq!((report.unsigned_lines, report.decoded, report.is_live), (0, 0, false));
    assert_eq!(report.unchecked.len(), 2);
    let anchor = fs::read(bench.directory.join("checkpoint.json")).unwrap();
    let options = VerifyOptions {
        key: Some(PublicKey(bench.keys.public())),
        anchor: Some(anchor),
        keys: Some(bench.keys.as_ref()),
    };
    let report = verify(&bench.directory, &options).unwrap();
    assert_eq!((report.findings, report.unchecked, report.decoded), (vec![], vec![], 10));
}

/// Whether a finding names a place in a file.
fn names(finding: &Finding, at: u64) -> bool {
    match (finding.place.offset, finding.place.length) {
        (None, _) => true,
        (Some(offset), None) => offset <= at,
        // A line's newline is behind it.
        (Some(offset), Some(length)) => (offset..=offset + length).contains(&at),
    }
}

#[test]
fn every_changed_byte_is_found_and_its_place_is_named() {
    let bench = store();
    let mut flips = 0;
    for (path, bytes) in evidence(&bench) {
        let name = relative(&bench, &path);
        let is_large = name.ends_with(".parquet");
        for at in 0..bytes.len() {
            // Of large files the ends and every 211th byte.
            if is_large && at % 211 != 0 && at > 40 && at + 40 < bytes.len() {
                continue;
            }
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).unwrap();
            let report = check(&bench);
            let place = u64::try_from(at).unwrap();
            let found = of(&report, &name);
            assert!(
                found.iter().any(|finding| names(finding, place)),
                "{name}, byte {at}: {:?}",
                report.findings
            );
            flips += 1;
        }
        fs::write(&path, &bytes).unwrap();
    }
    assert!(flips > 4000, "{flips}");
    assert_eq!(check(&bench).findings, []);
}

#[test]
fn a_changed_block_is_named_with_its_row_group_and_records() {
    let bench = store();
    let path = path_of(&bench, "tenant=red/hour=2025-11-28T05");
    let bytes = fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    changed[4100] ^= 1;
    fs::write(&path, changed).unwrap();
    let report = check(&bench);
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.wrong, finding.tenant.as_deref()), (Wrong::Changed, Some("red")));
    assert_eq!((finding.place.offset, finding.place.length), (Some(4096), Some(4096)));
    assert_eq!((finding.place.row_groups, finding.sequences), (Some((0, 0)), Some((11, 12))));
    let sentence = finding.to_string();
    assert!(
        sentence.contains("bytes 4096 to 8192, row groups 0 to 0, records 11 to 12, of red"),
        "{sentence}"
    );
}

#[test]
fn every_file_that_is_removed_or_cut_is_named() {
    let bench = store();
    for (path, bytes) in evidence(&bench) {
        let name = relative(&bench, &path);
        if name.starts_with("receipts") {
            continue;
        }
        fs::remove_file(&path).unwrap();
        let report = check(&bench);
        assert!(
            of(&report, &name).iter().any(|finding| matches!(finding.wrong, Wrong::Missing | Wrong::Cut)),
            "{name}: {:?}",
            report.findings
        );
        let step = (bytes.len() / 40).max(1);
        for cut in (0..bytes.len()).step_by(step).chain([bytes.len() - 1]) {
            fs::write(&path, &bytes[..cut]).unwrap();
            let report = check(&bench);
            assert!(!of(&report, &name).is_empty(), "{name} cut at {cut}: {:?}", report.findings);
        }
        fs::write(&path, [&bytes[..], b"more"].concat()).unwrap();
        let report = check(&bench);
        let is_tail = name.ends_with(".wal") || name.ends_with(".jsonl");
        assert!(
            !of(&report, &name).is_empty() || (is_tail && report.torn_bytes == 4),
            "{name}: {:?}",
            report.findings
        );
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(check(&bench).findings, []);
}

#[test]
fn lines_that_are_removed_swapped_or_doubled_are_named() {
    let bench = store();
    let path = path_of(&bench, "tenant=red/chain.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let [a, b] = lines[..] else { panic!("{text}") };
    let cases: [(&[&str], Wrong); 5] = [
        (&[b], Wrong::Missing),
        (&[a], Wrong::Cut),
        (&[b, a], Wrong::Missing),
        (&[a, a, b], Wrong::OutOfOrder),
        (&[a, b, b], Wrong::OutOfOrder),
    ];
    for (lines, wrong) in cases {
        fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let report = check(&bench);
        let found = of(&report, "tenant=red/chain.jsonl");
        assert!(found.iter().any(|finding| finding.wrong == wrong), "{wrong:?}: {:?}", report.findings);
    }
}

/// Where each frame of a segment begins, and where the last one ends.
fn frames(path: &Path) -> Vec<usize> {
    let mut reader = wal::Reader::open(path).unwrap();
    let mut places = Vec::new();
    while let Some(found) = reader.read().unwrap() {
        let wal::Found::Frame(frame) = found else { panic!("{found:?}") };
        places.push(usize::try_from(frame.offset).unwrap());
    }
    places.push(usize::try_from(reader.size()).unwrap());
    places
}

#[test]
fn frames_that_are_removed_swapped_or_doubled_are_named() {
    let bench = store();
    let path = path_of(&bench, "wal/");
    let name = relative(&bench, &path);
    let bytes = fs::read(&path).unwrap();
    let places = frames(&path);
    let frame = |number: usize| bytes[places[number]..places[number + 1]].to_vec();
    let count = places.len() - 1;
    assert_eq!(count, 7);
    let orders: Vec<Vec<usize>> = (0..count)
        .map(|left_out| (0..count).filter(|number| *number != left_out).collect())
        .chain((0..count - 1).map(|first| {
            let mut order: Vec<usize> = (0..count).collect();
            order.swap(first, first + 1);
            order
        }))
        .chain((0..count).map(|twice| (0..=twice).chain(twice..count).collect()))
        .collect();
    for order in orders {
        let changed: Vec<u8> = order.iter().flat_map(|number| frame(*number)).collect();
        fs::write(&path, [&bytes[..8], &changed].concat()).unwrap();
        let report = check(&bench);
        assert!(!of(&report, &name).is_empty(), "{order:?}: {:?}", report.findings);
    }
}

#[test]
fn files_that_change_places_and_files_from_elsewhere_are_named() {
    let bench = store();
    let before = bench.snapshot();
    let (a, b) =
        (path_of(&bench, "tenant=red/hour=2025-11-28T04"), path_of(&bench, "tenant=red/hour=2025-11-28T05"));
    let (bytes_a, bytes_b) = (fs::read(&a).unwrap(), fs::read(&b).unwrap());
    fs::write(&a, &bytes_b).unwrap();
    fs::write(&b, &bytes_a).unwrap();
    let report = check(&bench);
    for path in [&a, &b] {
        assert!(!of(&report, &relative(&bench, path)).is_empty(), "{:?}", report.findings);
    }
    bench.restore(&before);
    let other = a.with_file_name("n1-90-99.parquet");
    fs::write(&other, &bytes_a).unwrap();
    let report = check(&bench);
    let found = of(&report, &relative(&bench, &other));
    assert_eq!((found.len(), found[0].wrong, found[0].sequences), (1, Wrong::Unlisted, Some((90, 99))));
    // It is not taken away by the next agent: somebody may want to see it.
    drop(bench.open());
    assert_eq!(of(&check(&bench), &relative(&bench, &other)).len(), 1);
}

#[test]
fn a_store_that_is_put_back_as_a_whole_is_found_with_a_checkpoint_from_elsewhere() {
    let bench = store();
    let before = bench.snapshot();
    let mut store = bench.store();
    store.append(&[record(40, "red", "blue")], NOW).unwrap();
    store.seal(NOW + 6 * HOUR_NS).unwrap();
    let anchor = store.status().checkpoint;
    drop(store);
    let options = VerifyOptions { anchor: Some(anchor), ..VerifyOptions::default() };
    assert_eq!(verify(&bench.directory, &options).unwrap().findings, []);
    let newest = bench.snapshot();
    bench.restore(&before);
    assert_eq!(check(&bench).findings, []);
    let report = verify(&bench.directory, &options).unwrap();
    let found: Vec<_> = report.findings.iter().map(|finding| (&*finding.file, finding.wrong)).collect();
    for file in ["checkpoint.json", "tenant=red/chain.jsonl", "tenant=blue/chain.jsonl"] {
        assert!(found.contains(&(file, Wrong::RolledBack)), "{file}: {found:?}");
    }
    // Only the checkpoint is put back: it asks for what is sealed by now.
    bench.restore(&newest);
    let checkpoint = bench.directory.join("checkpoint.json");
    fs::write(&checkpoint, &before[&checkpoint]).unwrap();
    assert!(!check(&bench).findings.is_empty());
    assert!(!of(&verify(&bench.directory, &options).unwrap(), "checkpoint.json").is_empty());
}

#[test]
fn a_store_that_somebody_else_signed_is_found_with_the_key() {
    let mut bench = store();
    let key = PublicKey(bench.keys.public());
    bench.keys = std::sync::Arc::new(Memory::new());
    drop(bench.open());
    let options = VerifyOptions { key: Some(key), ..VerifyOptions::default() };
    let report = verify(&bench.directory, &options).unwrap();
    assert_eq!(of(&report, "checkpoint.json")[0].wrong, Wrong::Unsigned);
    assert_eq!(of(&report, "signer.pub")[0].wrong, Wrong::Changed);
}

#[test]
fn an_anchor_that_is_none_is_an_error_and_no_finding() {
    let bench = store();
    let with = |anchor: &[u8]| {
        let options = VerifyOptions { anchor: Some(anchor.to_vec()), ..VerifyOptions::default() };
        verify(&bench.directory, &options).unwrap_err().to_string()
    };
    assert!(with(b"{}").contains("no checkpoint"));
    let mut other = fs::read(bench.directory.join("checkpoint.json")).unwrap();
    let at = other.windows(8).position(|window| window == b"\"number\"").unwrap() + 9;
    other[at] = b'9';
    assert!(with(&other).contains("signature"));
    assert!(verify(Path::new("/nonexistent/trace"), &VerifyOptions::default()).is_err());
}

#[test]
fn a_log_that_was_cut_behind_the_checkpoint_stays_found_after_the_agent_went_on() {
    let bench = store();
    let path = path_of(&bench, "wal/");
    let places = frames(&path);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..places[places.len() - 2]]).unwrap();
    assert_eq!(of(&check(&bench), &relative(&bench, &path))[0].wrong, Wrong::Cut);
    let (mut store, recovered) = bench.open();
    let [(tenant, lost)] = &recovered.lost[..] else { panic!("{recovered:?}") };
    assert_eq!((tenant.as_str(), lost.why, lost.first, lost.last), ("_node", LostWhy::Cut, 33, 33));
    assert_eq!(recovered.sequence, 33);
    store.append(&[record(40, "red", "red")], NOW).unwrap();
    store.seal(NOW).unwrap();
    drop(store);
    let (_, recovered) = bench.open();
    assert_eq!(recovered.lost, []);
    let report = check(&bench);
    assert_eq!(of(&report, "tenant=_node/chain.jsonl")[0].wrong, Wrong::Cut);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(bench.sequences("red"), [1, 2, 11, 12, 31, 32, 40]);
}

#[test]
fn of_a_damaged_log_only_the_damaged_frame_is_lost_and_that_stays_found() {
    let bench = store();
    let path = path_of(&bench, "wal/");
    let places = frames(&path);
    let before = bench.snapshot();
    let bytes = fs::read(&path).unwrap();
    // In the header, the body and the hash of the first frame of records, which is record 31.
    // Without its header, what lies between the records before and after it is said.
    for (at, first) in [(places[2] + 3, 13), (places[2] + 60, 31), (places[3] - 1, 31)] {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        let mut store = bench.store();
        store.seal(NOW).unwrap();
        drop(store);
        assert_eq!(bench.sequences("red"), [1, 2, 11, 12, 32, 33], "byte {at}");
        assert_eq!(bench.sequences("blue"), [1, 11, 32], "byte {at}");
        let report = check(&bench);
        let [finding] = &report.findings[..] else { panic!("byte {at}: {:?}", report.findings) };
        assert_eq!((finding.wrong, finding.sequences), (Wrong::Changed, Some((first, 31))), "byte {at}");
        assert_eq!(wal::set_aside(&bench.directory.join("wal")).unwrap().len(), 1);
        bench.restore(&before);
    }
}

#[test]
fn a_chain_that_was_cut_stays_found_after_the_agent_went_on() {
    let bench = store();
    let path = path_of(&bench, "tenant=red/chain.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let first = text.lines().next().unwrap();
    for cut in [format!("{first}\n"), first[..50].to_owned(), String::new()] {
        let before = bench.snapshot();
        fs::write(&path, &cut).unwrap();
        let (mut store, recovered) = bench.open();
        assert_eq!(recovered.problems.len(), 1);
        store.append(&[record(40, "red", "red")], NOW).unwrap();
        store.seal(NOW).unwrap();
        drop(store);
        let report = check(&bench);
        let wrong: Vec<_> =
            of(&report, "tenant=red/chain.jsonl").iter().map(|finding| finding.wrong).collect();
        assert_eq!(wrong, [Wrong::Missing, Wrong::Unsigned], "{:?}", report.findings);
        assert!(report.findings.iter().any(|finding| finding.wrong == Wrong::Unlisted));
        bench.restore(&before);
    }
}

#[test]
fn a_store_that_is_being_written_raises_no_alarm() {
    let mut bench = Bench::new();
    bench.limits.segment_bytes = 4000;
    bench.limits.keep.bytes = 60_000;
    bench.limits.checkpoint_ns = 0;
    let mut store = bench.store();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for sequence in 1..=150 {
                let now = NOW + sequence * SECOND;
                store.append(&[record(sequence, "red", "blue")], now).unwrap();
                store.tick(now).unwrap();
            }
            store.seal(NOW + 200 * SECOND).unwrap();
            is_over.store(true, Ordering::SeqCst);
        });
        let mut rounds = 0;
        while !is_over.load(Ordering::SeqCst) && !writer.is_finished() {
            let report = check(&bench);
            assert_eq!(report.findings, [], "round {rounds}");
            rounds += 1;
        }
        assert!(rounds > 3, "{rounds}");
    });
    let report = check(&bench);
    assert_eq!((report.findings, report.is_live), (vec![], true));
    assert!(report.removed_files > 0);
}

#[test]
fn wrong_keys_are_said_to_open_nothing() {
    let bench = store();
    let other = Memory::new();
    for tenant in ["red", "blue"] {
        other.tenant(tenant).unwrap();
    }
    let options = VerifyOptions { keys: Some(&other), ..VerifyOptions::default() };
    let report = verify(&bench.directory, &options).unwrap();
    assert!(report.findings.iter().all(|finding| finding.wrong == Wrong::Unreadable));
    assert_eq!((report.findings.len(), report.decoded), (6, 0));
    bench.keys.destroy("red");
    let options = VerifyOptions { keys: Some(bench.keys.as_ref()), ..VerifyOptions::default() };
    let report = verify(&bench.directory, &options).unwrap();
    assert_eq!((report.findings, report.decoded), (vec![], 3));
    assert!(
        report.unchecked.iter().filter(|sentence| sentence.contains("\"red/1\" was destroyed")).count() == 3
    );
}

#[test]
fn numbers_beyond_all_bounds_are_findings_and_nothing_worse() {
    let bench = store();
    let path = path_of(&bench, "tenant=red/chain.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let digits: Vec<_> = text
        .match_indices(':')
        .map(|(at, _)| at + 1)
        .filter(|at| text.as_bytes()[*at].is_ascii_digit())
        .collect();
    assert!(digits.len() > 10);
    for at in digits {
        let end = at + text[at..].find(|letter: char| !letter.is_ascii_digit()).unwrap();
        let changed = format!("{}{}{}", &text[..at], u64::MAX, &text[end..]);
        let before = bench.snapshot();
        fs::write(&path, changed).unwrap();
        assert!(!of(&check(&bench), "tenant=red/chain.jsonl").is_empty(), "at {at}");
        drop(bench.open());
        assert!(!check(&bench).findings.is_empty(), "at {at}");
        bench.restore(&before);
    }
}

#[test]
fn a_checkpoint_that_was_taken_away_stays_found_after_the_agent_went_on() {
    let bench = store();
    let path = bench.directory.join("checkpoint.json");
    let before = bench.snapshot();
    let other = [&before[&path][..], b" "].concat();
    for replaced in [None, Some(other)] {
        match replaced {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
        let (mut store, recovered) = bench.open();
        assert_eq!(recovered.lost[0].1.why, LostWhy::Unsigned);
        store.seal(NOW).unwrap();
        drop(store);
        let report = check(&bench);
        let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
        assert_eq!((&*finding.file, finding.wrong), ("tenant=_node/chain.jsonl", Wrong::Unsigned));
        assert_eq!(bench.sequences("red"), [1, 2, 11, 12, 31, 32, 33]);
        bench.restore(&before);
    }
}
