//! The commands about the key-encryption key: what the configuration says, handed to the identity room.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::config::Settings;
use crate::config::settings::{IdentitySettings, KeySettings, TokenSettings};
use crate::identity::custody::KekSource;
use crate::identity::custody::commands::{self, Pruned};
use crate::identity::custody::token::TokenConfig;

/// Makes the key file; says what was done.
///
/// # Errors
/// The configuration wants no file, it is there already, or it cannot be written.
pub fn init(settings: &Settings) -> Result<String> {
    let file = key_file(settings)?;
    let id = commands::init(file, &vault(settings))?;
    Ok(format!(
        "{} holds the new key-encryption key {id}; keep a copy where this node's disk is not",
        file.display()
    ))
}

/// Adds a new key to the key file.
///
/// # Errors
/// There is no such file, or it cannot be written.
pub fn rotate(settings: &Settings) -> Result<String> {
    let file = key_file(settings)?;
    let id = commands::kek_rotate(file)?;
    Ok(format!("{} has the new key-encryption key {id}, which seals from now on", file.display()))
}

/// Drops the keys that nothing needs; says which were dropped and which are still needed.
///
/// # Errors
/// There is no such file, or the vault cannot be read.
pub fn prune(settings: &Settings) -> Result<Vec<String>> {
    let file = key_file(settings)?;
    let Pruned { dropped, kept } = commands::kek_prune(file, &vault(settings))?;
    let mut said: Vec<String> = dropped.iter().map(|id| format!("dropped {id}")).collect();
    said.extend(kept.iter().map(|(id, drawer)| format!("kept {id}: {drawer} is still sealed with it")));
    if said.is_empty() {
        said.push("nothing to drop: the current key is the only one".to_owned());
    }
    Ok(said)
}

/// Where sealed keys are kept.
pub(super) fn vault(settings: &Settings) -> PathBuf {
    settings.state_directory.join("identity")
}

pub(super) fn source(settings: &KeySettings) -> KekSource {
    match settings {
        KeySettings::File(path) => KekSource::File(path.clone()),
        KeySettings::Credential(name) => KekSource::Credential(name.clone()),
        KeySettings::Token(token) => {
            KekSource::Pkcs11 { token: self::token(token), key_label: token.label.clone() }
        }
    }
}

pub(super) fn token(settings: &TokenSettings) -> TokenConfig {
    TokenConfig {
        module: settings.module.clone(),
        token: settings.token.clone(),
        pin_file: settings.pin_file.clone(),
    }
}

fn key_file(settings: &Settings) -> Result<&Path> {
    let identity: &IdentitySettings =
        settings.identity.as_ref().context("`identity.enabled` is false: no key-encryption key is needed")?;
    match &identity.key {
        KeySettings::File(path) => Ok(path),
        KeySettings::Credential(name) => {
            bail!(
                "the key-encryption key is the systemd credential {name:?}: change the file it is made from"
            )
        }
        KeySettings::Token(token) => {
            bail!("the key-encryption key is in the token {:?}: use the token's own tools", token.token)
        }
    }
}
