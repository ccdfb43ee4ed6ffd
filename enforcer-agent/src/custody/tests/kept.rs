//! What is on disk.

use std::os::unix::fs::PermissionsExt as _;

use enforcer_core::device::custody::{Custody, DeviceKey};

use crate::custody::{FileSigner, Keep, KeepError, Sign as _};

#[test]
fn what_is_kept_comes_back_is_private_and_every_changed_byte_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let keep = Keep::open(home.path()).unwrap();
    let key = DeviceKey { class: "char:240".to_owned(), number: 7 };
    let custody = Custody::first_sight(5);
    keep.write(&key, &custody).unwrap();
    let found = keep.devices().unwrap();
    assert_eq!((&found[0].0, found[0].1.as_ref().unwrap()), (&key, &custody));
    let path = home.path().join("custody/devices/char:240@7.json");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(keep.directory())), (0o600, 0o700));
    let good = std::fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        assert!(keep.devices().unwrap()[0].1.is_err(), "byte {at}");
        std::fs::write(&path, &good[..at]).unwrap();
        assert!(matches!(keep.devices().unwrap()[0].1, Err(KeepError::Contents { .. })), "cut at {at}");
    }
    keep.forget(&key).unwrap();
    keep.forget(&key).unwrap();
    assert!(keep.devices().unwrap().is_empty());
}

#[test]
fn a_key_in_a_file_outlasts_the_agent() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("signer");
    let first = FileSigner::open(&path).unwrap();
    assert_eq!(FileSigner::open(&path).unwrap().public(), first.public());
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&path, b"short").unwrap();
    assert!(FileSigner::open(&path).is_err());
}
