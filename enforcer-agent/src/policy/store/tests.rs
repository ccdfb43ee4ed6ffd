//! The journal under crashes, damage and strangers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use enforcer_proto::v1;
use tempfile::TempDir;

use super::{Content, Entry, Store, StoreError};

fn base(revision: u64) -> Entry {
    let tenant = v1::Tenant { name: format!("t{revision}"), id: 16, ..v1::Tenant::default() };
    let snapshot = v1::Snapshot { tenants: vec![tenant], ..v1::Snapshot::default() };
    Entry { revision, author: "uid:0".to_owned(), content: Some(Content::Base(snapshot)), ..Entry::default() }
}

fn delta(revision: u64) -> Entry {
    let delta = v1::Delta { delete_rules: vec![format!("r{revision}")], ..v1::Delta::default() };
    Entry { revision, content: Some(Content::Delta(delta)), ..Entry::default() }
}

fn directory() -> (TempDir, PathBuf) {
    let parent = TempDir::new().unwrap();
    let path = parent.path().join("state");
    (parent, path)
}

fn revisions(entries: &[Entry]) -> Vec<u64> {
    entries
        .iter()
        .filter(|entry| !matches!(entry.content, Some(Content::Confirmed(_))))
        .map(|entry| entry.revision)
        .collect()
}

#[test]
fn what_was_appended_is_there_again_and_private() {
    let (_parent, path) = directory();
    let (mut store, loaded) = Store::open(&path).unwrap();
    assert!(loaded.entries.is_empty());
    store.append(&base(1)).unwrap();
    store.confirm(1, &[7; 32]).unwrap();
    store.append(&delta(2)).unwrap();
    drop(store);
    let (_store, loaded) = Store::open(&path).unwrap();
    assert_eq!(loaded.entries[0], base(1));
    assert_eq!(loaded.entries[1].digest, vec![7; 32]);
    assert_eq!(loaded.entries[2], delta(2));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let file = path.join("policy.journal");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_crash_after_any_byte_leaves_the_last_whole_record() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    store.append(&base(1)).unwrap();
    let first = store.bytes();
    store.append(&delta(2)).unwrap();
    let second = store.bytes();
    store.append(&delta(3)).unwrap();
    drop(store);
    let file = path.join("policy.journal");
    let whole = fs::read(&file).unwrap();
    for cut in usize::try_from(first).unwrap()..whole.len() {
        fs::write(&file, &whole[..cut]).unwrap();
        let (mut store, loaded) = Store::open(&path).unwrap();
        let cut = u64::try_from(cut).unwrap();
        let expected: &[u64] = if cut < second { &[1] } else { &[1, 2] };
        assert_eq!(revisions(&loaded.entries), expected, "cut at {cut}");
        assert_eq!(loaded.torn_bytes, cut - if cut < second { first } else { second });
        store.append(&delta(9)).unwrap();
        drop(store);
        let (_, loaded) = Store::open(&path).unwrap();
        assert_eq!(revisions(&loaded.entries).last(), Some(&9));
        assert_eq!(loaded.torn_bytes, 0);
    }
}

#[test]
fn a_tail_of_zeros_is_torn_and_not_damage() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    store.append(&base(1)).unwrap();
    drop(store);
    let file = path.join("policy.journal");
    let mut bytes = fs::read(&file).unwrap();
    bytes.extend_from_slice(&[0; 10_000]);
    fs::write(&file, bytes).unwrap();
    let (_, loaded) = Store::open(&path).unwrap();
    assert_eq!((revisions(&loaded.entries), loaded.torn_bytes), (vec![1], 10_000));
}

#[test]
fn a_damaged_byte_in_the_middle_refuses_to_open_and_changes_nothing() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    store.append(&base(1)).unwrap();
    let first = usize::try_from(store.bytes()).unwrap();
    store.confirm(1, &[7; 32]).unwrap();
    store.append(&delta(2)).unwrap();
    drop(store);
    let file = path.join("policy.journal");
    let whole = fs::read(&file).unwrap();
    for at in 16..first {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&file, &bytes).unwrap();
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { offset: 16, .. }), "byte {at}: {error}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "byte {at}");
    }
}

#[test]
fn a_confirmed_last_policy_is_never_lost_to_a_damaged_byte() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    store.append(&base(1)).unwrap();
    let first = usize::try_from(store.bytes()).unwrap();
    store.confirm(1, &[7; 32]).unwrap();
    drop(store);
    let file = path.join("policy.journal");
    let mut bytes = fs::read(&file).unwrap();
    bytes[first - 1] ^= 1;
    fs::write(&file, &bytes).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Corrupt { .. })));
}

#[test]
fn a_record_that_is_taken_back_is_gone() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    store.append(&base(1)).unwrap();
    store.confirm(1, &[]).unwrap();
    store.append(&delta(2)).unwrap();
    store.retract().unwrap();
    store.append(&delta(3)).unwrap();
    drop(store);
    let (_, loaded) = Store::open(&path).unwrap();
    assert_eq!(revisions(&loaded.entries), [1, 3]);
}

#[test]
fn a_rewrite_replaces_everything_and_goes_on() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    for revision in 1..100 {
        store.append(&delta(revision)).unwrap();
    }
    let before = store.bytes();
    store.rewrite(&[base(99)]).unwrap();
    assert!(store.bytes() < before);
    store.append(&delta(100)).unwrap();
    drop(store);
    let (_, loaded) = Store::open(&path).unwrap();
    assert_eq!(revisions(&loaded.entries), [99, 100]);
}

#[test]
fn a_crash_while_rewriting_leaves_the_old_journal() {
    let (_parent, path) = directory();
    let (mut store, _) = Store::open(&path).unwrap();
    store.append(&base(1)).unwrap();
    drop(store);
    fs::write(path.join("policy.journal.new"), b"half").unwrap();
    let (_, loaded) = Store::open(&path).unwrap();
    assert_eq!(revisions(&loaded.entries), [1]);
    assert!(!path.join("policy.journal.new").exists());
}

#[test]
fn files_that_others_may_read_are_refused() {
    let (_parent, path) = directory();
    drop(Store::open(&path).unwrap());
    let file = path.join("policy.journal");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Permissions { mode: 0o640, .. })));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Permissions { mode: 0o750, .. })));
}

#[test]
fn a_symbolic_link_and_a_foreign_file_are_refused() {
    let (parent, path) = directory();
    drop(Store::open(&path).unwrap());
    let file = path.join("policy.journal");
    fs::rename(&file, parent.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(parent.path().join("elsewhere"), &file).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Io { operation: "open", .. })));
    fs::remove_file(&file).unwrap();
    fs::write(&file, b"apiVersion: enforcer.dev/v1\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Foreign(_))));
}

#[test]
fn two_agents_cannot_share_a_journal() {
    let (_parent, path) = directory();
    let _first = Store::open(&path).unwrap();
    assert!(matches!(Store::open(&path), Err(StoreError::Locked(_))));
}
