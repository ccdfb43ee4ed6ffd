//! Why a key or a sealed object cannot be had. Nothing is ever replaced because of one of these.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, and what a person can do.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// There is no key-encryption key, and none is made up.
    #[error("there is no key-encryption key in {place}: make one with `enforcer-agent init`{more}")]
    NoKey {
        /// Where it was looked for.
        place: String,
        /// What else has to be done.
        more: &'static str,
    },
    /// The service manager handed over no credentials.
    #[error(
        "the key-encryption key is to come from the credential {0:?}, and $CREDENTIALS_DIRECTORY is not set: make the \
         key with `enforcer-agent init` and hand it over with LoadCredential= or LoadCredentialEncrypted="
    )]
    NoCredentials(String),
    /// The text of the key file is not what `enforcer-agent init` writes.
    #[error("{path}, line {line}: {what}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What does not fit. Never the key.
        what: &'static str,
    },
    /// A new key would not open what the vault holds.
    #[error(
        "{vault} holds {drawer}, sealed with the key-encryption key {id}: a new key would not open it; bring that key \
         back, or move the vault away and begin anew with other authorities"
    )]
    KeyLost {
        /// The vault.
        vault: PathBuf,
        /// Something that it holds.
        drawer: String,
        /// The key that sealed it.
        id: String,
    },
    /// `init` never overwrites.
    #[error("{0} exists already: a key-encryption key is never overwritten")]
    Exists(PathBuf),
    /// The key that an object was sealed with is not among those at hand.
    #[error(
        "{path} is sealed with the key-encryption key {id}, which {place} does not hold: put that key back as an \
         older key"
    )]
    UnknownKey {
        /// The sealed file.
        path: PathBuf,
        /// The key that it names.
        id: String,
        /// Where the keys come from.
        place: String,
    },
    /// A sealed object is not what was written.
    #[error(
        "{path} is damaged or not ours: {what}. Nothing was replaced: restore it from a backup, or move it away if \
         what it held may be made anew"
    )]
    Corrupt {
        /// The sealed file.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// Others can read or write it.
    #[error(
        "{path} has mode {mode:04o}: nobody but its owner may have access; check who did, then chmod it to {wanted:04o}"
    )]
    Permissions {
        /// Which file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It is somebody else's.
    #[error("{path} belongs to user {owner}: only root or the agent's own user {agent} may own it")]
    Owner {
        /// Which file or directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The agent's effective user.
        agent: u32,
    },
    /// Neither a plain file nor a directory, where one should be.
    #[error("{0} is not of the kind it should be")]
    Kind(PathBuf),
    /// A drawer or an item cannot be called that.
    #[error("{0:?} is no name in a vault: a-z, 0-9, '.', '-' and '_', neither first a dot nor too long")]
    Name(String),
    /// Larger than anything that is kept.
    #[error("an object of {bytes} bytes is too large for the vault")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The token refuses, or is not what it should be.
    #[error("the PKCS#11 token {token:?}: {what}")]
    Token {
        /// Its label.
        token: String,
        /// What went wrong.
        what: String,
    },
    /// A system call failed.
    #[error("cannot {operation} {path}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// The library of ciphers refused: no randomness, no memory.
    #[error("the cipher library refused to {0}")]
    Cipher(&'static str),
}

impl CustodyError {
    pub(in crate::identity) fn io(operation: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), error }
    }

    pub(super) fn corrupt(path: &Path, what: &'static str) -> Self {
        Self::Corrupt { path: path.to_owned(), what }
    }
}
