//! Objects are kept, replaced, removed, and stay what they were when a write fails.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::Home;
use crate::identity::custody::{CustodyError, Durability, KekSource, Vault};

fn text(vault: &Vault, drawer: &str, item: &str) -> Option<String> {
    vault.get(drawer, item).unwrap().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn an_object_outlasts_a_restart_and_is_nowhere_in_the_clear() {
    let home = Home::new();
    let vault = home.open();
    vault.put("red.fleet", "ca", b"the secret", Durability::Synced).unwrap();
    vault.put("red.fleet", "svid", b"another", Durability::Lazy).unwrap();
    assert_eq!(vault.get("red.fleet", "none").unwrap(), None);
    assert_eq!(vault.get("blue.fleet", "none").unwrap(), None);
    drop(vault);
    let vault = home.open();
    assert_eq!(text(&vault, "red.fleet", "ca").unwrap(), "the secret");
    vault.put("red.fleet", "ca", b"newer", Durability::Synced).unwrap();
    assert_eq!(text(&vault, "red.fleet", "ca").unwrap(), "newer");
    assert_eq!(vault.items("red.fleet").unwrap(), ["ca", "svid"]);
    assert_eq!(vault.drawers().unwrap(), ["red.fleet"]);
    for item in ["ca", "svid", "key"] {
        let path = home.vault_directory().join("red.fleet").join(item);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let bytes = fs::read(path).unwrap();
        assert!(![&b"secret"[..], b"newer", b"another"].iter().any(|clear| contains(&bytes, clear)));
    }
    assert_eq!(
        fs::metadata(home.vault_directory().join("red.fleet")).unwrap().permissions().mode() & 0o7777,
        0o700
    );
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_name_that_leaves_the_vault_is_refused() {
    let home = Home::new();
    let vault = home.open();
    for (drawer, item) in [("..", "a"), ("a", "../../kek"), ("a/b", "c"), ("a", "key"), ("", "a"), ("A", "a")]
    {
        assert!(matches!(vault.put(drawer, item, b"x", Durability::Lazy), Err(CustodyError::Name(_))));
        assert!(matches!(vault.get(drawer, item), Err(CustodyError::Name(_))));
        assert!(matches!(vault.remove(drawer, item), Err(CustodyError::Name(_))));
    }
    assert!(matches!(vault.remove_drawer(".."), Err(CustodyError::Name(_))));
    assert!(vault.drawers().unwrap().is_empty());
}

#[test]
fn a_removed_drawer_is_gone_and_can_be_made_anew() {
    let home = Home::new();
    let vault = home.open();
    vault.put("red", "a", b"1", Durability::Synced).unwrap();
    vault.put("blue", "a", b"2", Durability::Synced).unwrap();
    let old = fs::read(home.vault_directory().join("red/a")).unwrap();
    vault.remove("blue", "a").unwrap();
    vault.remove("blue", "a").unwrap();
    vault.remove_drawer("red").unwrap();
    vault.remove_drawer("red").unwrap();
    assert_eq!(vault.get("red", "a").unwrap(), None);
    assert_eq!(vault.drawers().unwrap(), ["blue"]);
    assert_eq!(vault.items("blue").unwrap(), [""; 0]);
    vault.put("red", "b", b"3", Durability::Synced).unwrap();
    // What somebody kept of the old drawer does not open in the new one.
    fs::write(home.vault_directory().join("red/a"), old).unwrap();
    fs::set_permissions(home.vault_directory().join("red/a"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(vault.get("red", "a"), Err(CustodyError::Corrupt { .. })));
    assert_eq!(text(&vault, "red", "b").unwrap(), "3");
}

#[test]
fn what_an_interrupted_run_left_is_cleared() {
    let home = Home::new();
    home.open().put("red", "a", b"1", Durability::Synced).unwrap();
    let directory = home.vault_directory();
    fs::write(directory.join("red/.a.7"), b"half").unwrap();
    fs::create_dir(directory.join(".removed-3")).unwrap();
    fs::write(directory.join(".removed-3/key"), b"a key").unwrap();
    let vault = home.open();
    assert!(!directory.join("red/.a.7").exists());
    assert!(!directory.join(".removed-3").exists());
    assert_eq!(text(&vault, "red", "a").unwrap(), "1");
}

#[test]
fn many_at_once_make_one_drawer() {
    let home = Home::new();
    let vault = Arc::new(home.open());
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let vault = Arc::clone(&vault);
            std::thread::spawn(move || {
                for round in 0..20 {
                    let item = format!("item-{}", round % 4);
                    vault.put("red", &item, format!("{thread}").as_bytes(), Durability::Lazy).unwrap();
                    assert!(vault.get("red", &item).unwrap().is_some());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(vault);
    let vault = home.open();
    assert_eq!(vault.items("red").unwrap().len(), 4);
    assert!(vault.items("red").unwrap().iter().all(|item| vault.get("red", item).unwrap().is_some()));
}

#[test]
fn a_full_or_read_only_disk_keeps_the_old_object() {
    // A mount of its own for this thread: it goes when the thread does.
    let thread = std::thread::spawn(|| {
        let home = Home::new();
        let directory = home.vault_directory();
        let root = nix::unistd::geteuid().is_root();
        if root {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
                .unwrap();
            let options = Some("size=64k,mode=0700");
            mount(Some("tmpfs"), &directory, Some("tmpfs"), MsFlags::empty(), options).unwrap();
        }
        let vault = home.open();
        vault.put("red", "a", b"old", Durability::Synced).unwrap();
        if root {
            let full = vault.put("red", "a", &[7; 128 << 10], Durability::Synced);
            assert!(full.unwrap_err().to_string().contains("No space left"));
            assert_eq!(text(&vault, "red", "a").unwrap(), "old");
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
            mount(None::<&str>, &directory, None::<&str>, flags, None::<&str>).unwrap();
        } else {
            fs::set_permissions(directory.join("red"), fs::Permissions::from_mode(0o500)).unwrap();
        }
        let error = vault.put("red", "a", b"new", Durability::Synced).unwrap_err();
        assert!(matches!(error, CustodyError::Io { operation: "write", .. }), "{error}");
        assert_eq!(text(&vault, "red", "a").unwrap(), "old");
        assert_eq!(vault.items("red").unwrap(), ["a"]);
        fs::set_permissions(directory.join("red"), fs::Permissions::from_mode(0o700)).ok();
    });
    thread.join().unwrap();
}

#[test]
fn a_vault_that_others_can_enter_is_refused() {
    let home = Home::new();
    fs::set_permissions(home.vault_directory(), fs::Permissions::from_mode(0o750)).unwrap();
    let source = KekSource::File(home.key_file());
    let error = Vault::open(&home.vault_directory(), source).unwrap_err();
    assert!(matches!(error, CustodyError::Permissions { mode: 0o750, .. }), "{error}");
}
