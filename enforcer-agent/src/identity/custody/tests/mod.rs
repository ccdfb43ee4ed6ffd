//! The vault and its keys against real files, a real full disk and a real token.

mod damage;
mod keys;
mod objects;
pub(crate) mod softhsm;
mod tokens;

use std::path::PathBuf;

use tempfile::TempDir;

use super::{KekSource, Vault, commands};

/// A vault with a key in a file, in a directory of its own.
pub(crate) struct Home {
    directory: TempDir,
}

impl Home {
    /// After `enforcer-agent init`.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let home = Self { directory };
        commands::init(&home.key_file(), &home.vault_directory()).unwrap();
        home
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.directory.path().join("kek")
    }

    pub(crate) fn vault_directory(&self) -> PathBuf {
        self.directory.path().join("vault")
    }

    pub(crate) fn open(&self) -> Vault {
        Vault::open(&self.vault_directory(), KekSource::File(self.key_file())).unwrap()
    }
}
