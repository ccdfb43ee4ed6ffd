//! Whatever happens to a sealed file, it is noticed and nothing is replaced.

use std::fs;
use std::path::Path;

use super::Home;
use crate::identity::custody::{CustodyError, Durability, Vault};

fn home() -> Home {
    let home = Home::new();
    let vault = home.open();
    for (drawer, item) in [("red", "a"), ("red", "b"), ("blue", "a")] {
        vault.put(drawer, item, format!("{drawer} {item}").as_bytes(), Durability::Synced).unwrap();
    }
    home
}

fn refused(home: &Home, path: &Path, bytes: &[u8]) -> CustodyError {
    fs::write(path, bytes).unwrap();
    let result = home.open().get("red", "a");
    assert_eq!(fs::read(path).unwrap(), bytes, "it was replaced");
    result.expect_err("a damaged file was opened")
}

#[test]
fn every_changed_byte_and_every_cut_is_noticed() {
    let home = home();
    for file in ["red/a", "red/key"] {
        let path = home.vault_directory().join(file);
        let good = fs::read(&path).unwrap();
        for place in 0..good.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[place] ^= flip;
                let error = refused(&home, &path, &bytes).to_string();
                assert!(error.contains(path.to_str().unwrap()), "byte {place}: {error}");
            }
            refused(&home, &path, &good[..place]);
        }
        let longer: Vec<u8> = good.iter().copied().chain([0]).collect();
        refused(&home, &path, &longer);
        fs::write(&path, &good).unwrap();
    }
    let vault = home.open();
    assert_eq!(vault.get("red", "a").unwrap().unwrap().as_slice(), b"red a");
}

#[test]
fn files_cannot_be_swapped() {
    let home = home();
    let directory = home.vault_directory();
    let path = directory.join("red/a");
    for other in ["red/b", "blue/a", "red/key"] {
        refused(&home, &path, &fs::read(directory.join(other)).unwrap());
    }
    let key = directory.join("red/key");
    let good = fs::read(&key).unwrap();
    refused(&home, &key, &fs::read(directory.join("blue/key")).unwrap());
    fs::write(&key, good).unwrap();
}

#[test]
fn a_drawer_that_lost_its_key_is_not_started_anew() {
    let home = home();
    fs::remove_file(home.vault_directory().join("red/key")).unwrap();
    let vault = home.open();
    let lost = |result: Result<(), CustodyError>| matches!(result, Err(CustodyError::Corrupt { .. }));
    assert!(lost(vault.get("red", "a").map(drop)));
    assert!(lost(vault.put("red", "c", b"x", Durability::Synced)));
    assert!(vault.get("blue", "a").unwrap().is_some());
}

#[test]
fn the_key_of_another_vault_opens_nothing_and_is_named() {
    let (home, other) = (home(), Home::new());
    fs::copy(other.key_file(), home.key_file()).unwrap();
    let vault: Vault = home.open();
    for result in [vault.get("red", "a").map(drop), vault.put("red", "a", b"x", Durability::Synced)] {
        assert!(matches!(result, Err(CustodyError::UnknownKey { .. })), "{result:?}");
    }
}
