//! The store: records go into the log, the log into sealed files, and every step is signed for. One thread owns it;
//! sealing runs beside it.

mod append;
mod check;
mod destroy;
mod open;
mod removal;
mod sealing;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chain::{Chain, Lost};
use crate::disk::Disk;
use crate::keys::Keys;
use crate::limits::Limits;
use crate::wal::Log;
use sealing::Worker;

pub use append::{Appended, Loss};
pub(crate) use open::{names, sequences, tenants};
pub use status::{Status, TenantStatus};

/// Who has the store open holds a lock on this file.
pub(crate) const LOCK: &str = "lock";
/// The signer's public key, PEM.
pub(crate) const SIGNER: &str = "signer.pub";
/// What a tenant's directory begins with.
pub(crate) const TENANT: &str = "tenant=";
/// Room that is given back when the disk is full, so that what is removed can be written down.
pub(crate) const RESERVE: &str = "reserve";

/// An open store, locked against other agents.
pub struct Store {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    node: String,
    limits: Limits,
    keys: Arc<dyn Keys>,
    log: Log,
    chains: BTreeMap<String, Chain>,
    /// Every record up to this one is on disk.
    sequence: u64,
    checkpoints: Checkpoints,
    worker: Option<Worker>,
    losses: BTreeMap<(String, &'static str), u64>,
    /// What went wrong last, by what was tried.
    problems: BTreeMap<&'static str, String>,
    _lock: File,
}

/// What is known of the checkpoint on disk.
struct Checkpoints {
    number: u64,
    time_ns: u64,
    /// Something happened since.
    is_due: bool,
    bytes: Vec<u8>,
}

/// What was found when a store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The largest sequence number that is in use.
    pub sequence: u64,
    /// Segments of the log that wait to be sealed.
    pub segments: usize,
    /// Bytes at the end of the log that were not acknowledged when the agent died; they do not count.
    pub torn_bytes: u64,
    /// What had been acknowledged and is not there, by tenant.
    pub lost: Vec<(String, Lost)>,
    /// Sentences: what does not fit the last checkpoint.
    pub problems: Vec<String>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({:?}, {})", self.directory, self.sequence)
    }
}

impl Store {
    /// Every record up to this one is on disk.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    fn log_directory(&self) -> PathBuf {
        self.directory.join(crate::wal::DIRECTORY)
    }

    fn tenant_directory(&self, tenant: &str) -> PathBuf {
        tenant_directory(&self.directory, tenant)
    }
}

pub(crate) fn tenant_directory(root: &Path, tenant: &str) -> PathBuf {
    root.join(format!("{TENANT}{tenant}"))
}
