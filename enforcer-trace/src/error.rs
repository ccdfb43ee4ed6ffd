//! Why the store could not do what it was asked for.

use std::io;
use std::path::{Path, PathBuf};

use crate::keys::KeyError;

/// What went wrong. Nothing that was acknowledged is lost by any of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    /// The disk, or what may be used of it, is full, and nothing is left that could be removed.
    #[error("the disk is full and nothing is left to remove: {records} records were not kept")]
    Full {
        /// Records that were handed over and are not stored.
        records: u64,
    },
    /// The file system takes no writes.
    #[error("{path} is on a file system that is read-only: {records} records were not kept")]
    ReadOnly {
        /// The store.
        path: PathBuf,
        /// Records that were handed over and are not stored.
        records: u64,
    },
    /// A record's number is not larger than that of one before it.
    #[error("record {found} came after record {after}: numbers only grow")]
    Sequence {
        /// Its number.
        found: u64,
        /// The largest so far.
        after: u64,
    },
    /// Others could read or write it.
    #[error(
        "{path} has mode {mode:04o}: nobody but its owner may read or write it; check who changed it, then chmod it to {wanted:04o}"
    )]
    Permissions {
        /// Which directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It is somebody else's.
    #[error("{path} belongs to user {owner}, and the agent runs as user {agent}")]
    Owner {
        /// Which directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The agent's effective user.
        agent: u32,
    },
    /// No directory, where one should be.
    #[error("{0} is no directory (a symbolic link is none)")]
    Kind(PathBuf),
    /// Another agent has it open.
    #[error("{0} is in use by another agent")]
    Locked(PathBuf),
    /// A key cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A Parquet file could not be written.
    #[error("cannot write {path}: {reason}")]
    Parquet {
        /// Which file.
        path: PathBuf,
        /// What the library says.
        reason: String,
    },
    /// Not a name of a tenant, a node or a file that is used here.
    #[error(
        "{0:?} cannot be a name in the store: letters, digits, \".\", \"-\" and \"_\", at most 128, not first a dot"
    )]
    Name(String),
    /// Nobody waited for the result any more.
    #[error("stopped before it was done")]
    Stopped,
    /// The thread that seals files ended without an answer.
    #[error("sealing ended in a panic; the log is as it was, and it is tried again")]
    Panicked,
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), error }
    }

    /// True where room on the disk would have helped.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match self {
            Self::Io { error, .. } => {
                matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
            }
            Self::Full { .. } => true,
            _ => false,
        }
    }

    /// True where the file system takes no writes.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Io { error, .. } => error.kind() == io::ErrorKind::ReadOnlyFilesystem,
            Self::ReadOnly { .. } => true,
            _ => false,
        }
    }
}
