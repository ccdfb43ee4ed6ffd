//! A key-encryption key that never leaves a token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::Home;
use super::softhsm::{SoftHsm, with_softhsm};
use crate::identity::custody::token::Token;
use crate::identity::custody::{CustodyError, Durability, KekSource, Vault};

fn source(hsm: &SoftHsm, label: &str) -> KekSource {
    KekSource::Pkcs11 { token: hsm.config(), key_label: label.to_owned() }
}

#[test]
fn a_vault_is_sealed_and_re_wrapped_by_a_token() {
    let name = "identity::custody::tests::tokens::a_vault_is_sealed_and_re_wrapped_by_a_token";
    with_softhsm(name, |hsm| {
        let home = Home::new();
        hsm.import_aes([1; 32], "kek-1", "01");
        hsm.import_aes([2; 32], "kek-2", "02");
        let vault = Vault::open(&home.vault_directory(), source(hsm, "kek-1")).unwrap();
        assert_eq!((vault.kek_kind(), vault.kek_id().as_str()), ("pkcs11", "kek-1"));
        vault.put("red", "a", b"kept", Durability::Synced).unwrap();
        vault.put("blue", "a", b"kept too", Durability::Synced).unwrap();
        drop(vault);
        let vault = Vault::open(&home.vault_directory(), source(hsm, "kek-2")).unwrap();
        assert_eq!(vault.get("red", "a").unwrap().unwrap().as_slice(), b"kept");
        assert_eq!(vault.sealed_with_older().unwrap(), 2);
        let done = vault.rewrap().unwrap();
        assert_eq!((done.current.as_str(), done.rewrapped, done.older), ("kek-2", 2, 0));
        let vault = Vault::open(&home.vault_directory(), source(hsm, "kek-2")).unwrap();
        assert_eq!(vault.get("blue", "a").unwrap().unwrap().as_slice(), b"kept too");
        every_change_is_noticed(&home, hsm);
    });
}

fn every_change_is_noticed(home: &Home, hsm: &SoftHsm) {
    let path = home.vault_directory().join("red/key");
    let good = fs::read(&path).unwrap();
    for place in 0..good.len() {
        let mut bytes = good.clone();
        bytes[place] ^= 1;
        fs::write(&path, bytes).unwrap();
        let vault = Vault::open(&home.vault_directory(), source(hsm, "kek-2")).unwrap();
        let error = vault.get("red", "a").unwrap_err();
        assert!(
            matches!(error, CustodyError::Corrupt { .. } | CustodyError::UnknownKey { .. }),
            "byte {place}: {error}"
        );
    }
    fs::write(path, good).unwrap();
}

#[test]
fn a_token_without_the_key_or_with_another_pin_is_refused() {
    let name = "identity::custody::tests::tokens::a_token_without_the_key_or_with_another_pin_is_refused";
    with_softhsm(name, |hsm| {
        let home = Home::new();
        let open = |source| Vault::open(&home.vault_directory(), source).unwrap_err();
        let error = open(source(hsm, "kek-1"));
        assert!(matches!(error, CustodyError::NoKey { .. }), "{error}");
        assert!(error.to_string().contains("enforcer-agent init"), "{error}");
        let mut config = hsm.config();
        config.token = "another".to_owned();
        let error = open(KekSource::Pkcs11 { token: config, key_label: "kek-1".to_owned() });
        assert!(matches!(error, CustodyError::Token { .. }), "{error}");
        let mut config = hsm.config();
        config.module = "/nonexistent.so".into();
        let error = open(KekSource::Pkcs11 { token: config, key_label: "kek-1".to_owned() });
        assert!(matches!(error, CustodyError::Token { .. }), "{error}");
        let config = hsm.config();
        fs::set_permissions(&config.pin_file, fs::Permissions::from_mode(0o644)).unwrap();
        let error = open(KekSource::Pkcs11 { token: config, key_label: "kek-1".to_owned() });
        assert!(error.to_string().contains("0644"), "{error}");
        let config = hsm.config();
        fs::write(&config.pin_file, "9999").unwrap();
        let token = Token::new(config);
        let ask = || token.has_aes_key("kek-1").map_err(|error| error.to_string());
        assert!(ask().unwrap_err().contains("not tried again"));
        assert!(ask().unwrap_err().contains("not tried again"));
        // The right PIN is written: that is something else to try.
        hsm.config();
        assert_eq!(ask(), Ok(false));
    });
}
