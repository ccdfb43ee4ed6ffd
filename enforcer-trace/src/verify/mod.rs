//! Whether a store is as it was written: chains, files, log and signatures. It needs no agent and, but for reading the
//! records themselves, no key; an agent may be writing meanwhile. Files are read piece by piece.

mod chains;
mod decode;
mod files;
mod log;
mod receipts;
mod report;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::keys::{Keys, PublicKey};
use crate::store::tenants;

pub use report::{Finding, Place, VerifyReport, Wrong};

/// What to hold a store against.
#[derive(Clone, Default)]
pub struct VerifyOptions<'a> {
    /// The signer's public key, from elsewhere. Without it whoever can write the store could have signed anew.
    pub key: Option<PublicKey>,
    /// A checkpoint that was kept elsewhere: its bytes. Without it a store that was put back as a whole looks right.
    pub anchor: Option<Vec<u8>>,
    /// Keys to read the records with.
    pub keys: Option<&'a dyn Keys>,
}

impl std::fmt::Debug for VerifyOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifyOptions({:?}, anchor: {})", self.key, self.anchor.is_some())
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no store.
    #[error("{0} is no store of traces")]
    NoStore(PathBuf),
    /// The anchor is no checkpoint, or not of this key.
    #[error("the checkpoint to hold the store against cannot be used: {0}")]
    Anchor(crate::checkpoint::CheckpointError),
    /// A system call failed.
    #[error("cannot read {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A directory could not be listed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Verifies a store.
///
/// # Errors
/// It could not be looked at. What is wrong with it is in the report.
pub fn verify(directory: &Path, options: &VerifyOptions<'_>) -> Result<VerifyReport, VerifyError> {
    let mut report = VerifyReport { is_live: trust::is_live(directory)?, ..VerifyReport::default() };
    let trust = trust::establish(directory, options, &mut report)?;
    let mut tenants: BTreeSet<String> = tenants(directory)?.into_iter().collect();
    for body in [&trust.body, &trust.anchor].into_iter().flatten() {
        tenants.extend(body.chains.keys().cloned());
    }
    let log = log::verify(directory, &trust, options, &mut report)?;
    for tenant in tenants {
        chains::verify(directory, &tenant, &trust, &log, options, &mut report)?;
    }
    receipts::verify(directory, &trust, &mut report)?;
    Ok(report)
}

/// First and last sequence number that each tenant has in the log.
type InLog = BTreeMap<String, (u64, u64)>;

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> VerifyError + use<> {
    let path = path.to_owned();
    |error| VerifyError::Io { path, error }
}
