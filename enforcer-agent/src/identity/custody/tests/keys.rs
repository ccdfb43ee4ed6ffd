//! Key files are made by `init` only, kept to ourselves, and changed without touching an object.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Home;
use crate::identity::custody::commands::{self, Pruned};
use crate::identity::custody::{CustodyError, Durability, KekSource, Vault};

#[test]
fn without_a_key_there_is_no_vault_and_the_error_names_the_command() {
    let home = Home::new();
    fs::remove_file(home.key_file()).unwrap();
    let error = Vault::open(&home.vault_directory(), KekSource::File(home.key_file())).unwrap_err();
    assert!(matches!(error, CustodyError::NoKey { .. }));
    assert!(error.to_string().contains("enforcer-agent init"), "{error}");
    assert!(!home.key_file().exists(), "a key was made up");
    let error = Vault::open(&home.vault_directory(), KekSource::Credential("kek".to_owned())).unwrap_err();
    assert!(matches!(error, CustodyError::NoCredentials(_)));
    assert!(error.to_string().contains("enforcer-agent init"), "{error}");
}

#[test]
fn no_new_key_is_made_beside_what_a_lost_one_has_sealed() {
    let home = Home::new();
    home.open().put("red", "a", b"kept", Durability::Synced).unwrap();
    fs::remove_file(home.key_file()).unwrap();
    let error = commands::init(&home.key_file(), &home.vault_directory()).unwrap_err();
    assert!(matches!(&error, CustodyError::KeyLost { drawer, .. } if drawer == "red"), "{error}");
    assert!(!home.key_file().exists());
    fs::remove_dir_all(home.vault_directory()).unwrap();
    commands::init(&home.key_file(), &home.vault_directory()).unwrap();
}

#[test]
fn a_credential_of_the_service_manager_is_taken() {
    const TEST: &str = "identity::custody::tests::keys::a_credential_of_the_service_manager_is_taken";
    const VAULT: &str = "ENFORCER_TEST_VAULT";
    // The environment is given to a process: this test runs itself again in one that has it.
    if let Some(directory) = std::env::var_os(VAULT) {
        let open = |name: &str| Vault::open(directory.as_ref(), KekSource::Credential(name.to_owned()));
        let vault = open("kek").unwrap();
        assert_eq!(vault.kek_kind(), "systemd-credential");
        assert_eq!(vault.get("red", "a").unwrap().unwrap().as_slice(), b"kept");
        assert!(matches!(open("absent"), Err(CustodyError::NoKey { .. })));
        assert!(matches!(open("../kek"), Err(CustodyError::Name(_))));
        return;
    }
    let home = Home::new();
    home.open().put("red", "a", b"kept", Durability::Synced).unwrap();
    // As the service manager does it: the group bits are the mask of an access list.
    fs::set_permissions(home.key_file(), fs::Permissions::from_mode(0o440)).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", TEST]).env(VAULT, home.vault_directory());
    let output = child.env("CREDENTIALS_DIRECTORY", home.key_file().parent().unwrap()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn init_makes_a_private_key_once() {
    let home = Home::new();
    let mode = fs::metadata(home.key_file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let before = fs::read(home.key_file()).unwrap();
    let again = commands::init(&home.key_file(), &home.vault_directory());
    assert!(matches!(again, Err(CustodyError::Exists(_))));
    assert_eq!(fs::read(home.key_file()).unwrap(), before);
}

#[test]
fn a_key_that_others_can_read_or_own_is_refused() {
    let home = Home::new();
    let open = || Vault::open(&home.vault_directory(), KekSource::File(home.key_file()));
    for mode in [0o640, 0o604, 0o620, 0o666, 0o610] {
        fs::set_permissions(home.key_file(), fs::Permissions::from_mode(mode)).unwrap();
        let error = open().unwrap_err();
        assert!(matches!(error, CustodyError::Permissions { mode: found, .. } if found == mode), "{error}");
    }
    fs::set_permissions(home.key_file(), fs::Permissions::from_mode(0o400)).unwrap();
    assert!(open().is_ok());
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(home.key_file(), Some(4242), None).unwrap();
        let error = open().unwrap_err();
        assert!(matches!(error, CustodyError::Owner { owner: 4242, .. }), "{error}");
    }
    fs::remove_file(home.key_file()).unwrap();
    fs::create_dir(home.key_file()).unwrap();
    assert!(matches!(open().unwrap_err(), CustodyError::Kind(_)));
}

#[test]
fn a_rotation_re_wraps_while_objects_are_read_and_written() {
    let home = Home::new();
    let vault = home.open();
    let first = vault.kek_id();
    for drawer in ["red", "blue"] {
        vault.put(drawer, "a", b"kept", Durability::Synced).unwrap();
    }
    let object = fs::read(home.vault_directory().join("red/a")).unwrap();
    let second = commands::kek_rotate(&home.key_file()).unwrap();
    assert_eq!(vault.kek_id(), first, "nothing changes before the re-wrap");
    // The older key is needed still.
    let kept = commands::kek_prune(&home.key_file(), &home.vault_directory()).unwrap();
    assert_eq!(kept, Pruned { dropped: vec![], kept: vec![(first.clone(), "red".to_owned())] });
    let readers = std::thread::scope(|scope| {
        let reader = scope.spawn(|| (0..50).all(|_| vault.get("red", "a").unwrap().is_some()));
        let done = vault.rewrap().unwrap();
        assert_eq!((done.current.as_str(), done.rewrapped, done.older), (second.as_str(), 2, 0));
        reader.join().unwrap()
    });
    assert!(readers);
    assert_eq!(vault.kek_id(), second);
    assert_eq!(fs::read(home.vault_directory().join("red/a")).unwrap(), object, "objects are not touched");
    assert_eq!(vault.rewrap().unwrap().rewrapped, 0);
    let pruned = commands::kek_prune(&home.key_file(), &home.vault_directory()).unwrap();
    assert_eq!(pruned, Pruned { dropped: vec![first], kept: vec![] });
    assert_eq!(home.open().get("blue", "a").unwrap().unwrap().as_slice(), b"kept");
}

#[test]
fn a_drawer_that_cannot_be_re_wrapped_is_reported_and_the_others_are() {
    let home = Home::new();
    let vault = home.open();
    for drawer in ["red", "blue"] {
        vault.put(drawer, "a", b"kept", Durability::Synced).unwrap();
    }
    let key = home.vault_directory().join("blue/key");
    let mut bytes = fs::read(&key).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&key, &bytes).unwrap();
    commands::kek_rotate(&home.key_file()).unwrap();
    let done = vault.rewrap().unwrap();
    assert_eq!((done.rewrapped, done.older), (1, 1));
    assert_eq!(vault.sealed_with_older().unwrap(), 1);
    assert!(matches!(done.failures.as_slice(), [failure] if failure.drawer == "blue"));
    assert_eq!(fs::read(key).unwrap(), bytes);
}

#[test]
fn a_drawer_is_never_made_with_a_key_that_was_dropped() {
    let home = Home::new();
    let vault = home.open();
    let first = vault.kek_id();
    commands::kek_rotate(&home.key_file()).unwrap();
    let pruned = commands::kek_prune(&home.key_file(), &home.vault_directory()).unwrap();
    assert_eq!(pruned.dropped, [first]);
    // The agent still has the dropped key in memory.
    vault.put("red", "a", b"kept", Durability::Synced).unwrap();
    assert!(home.open().get("red", "a").unwrap().is_some());
}

#[test]
fn a_broken_key_file_leaves_the_keys_at_hand() {
    let home = Home::new();
    let vault = home.open();
    vault.put("red", "a", b"kept", Durability::Synced).unwrap();
    fs::write(home.key_file(), "nonsense\n").unwrap();
    assert!(matches!(vault.rewrap(), Err(CustodyError::KeyFile { line: 1, .. })));
    assert!(vault.get("red", "a").unwrap().is_some());
}
