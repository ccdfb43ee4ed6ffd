//! What is signed for: the checkpoint in the store, and one that was kept elsewhere.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::report::{Finding, VerifyReport, Wrong};
use super::{VerifyError, VerifyOptions, io_error};
use crate::checkpoint::{self, Body, Checkpoint, CheckpointError};
use crate::keys::PublicKey;
use crate::store::{LOCK, SIGNER, TENANT};
use crate::wal;

/// What the rest is held against.
#[derive(Default)]
pub(super) struct Trust {
    /// Of the store's own checkpoint, if it is good.
    pub(super) body: Option<Body>,
    /// Of the one that was kept elsewhere.
    pub(super) anchor: Option<Body>,
    pub(super) key: Option<PublicKey>,
}

/// True when an agent has the store open.
pub(super) fn is_live(directory: &Path) -> Result<bool, VerifyError> {
    let path = directory.join(LOCK);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_store = fs::read_dir(directory).is_ok_and(|mut entries| {
                entries.any(|entry| {
                    entry.is_ok_and(|entry| {
                        let name = entry.file_name();
                        name == wal::DIRECTORY
                            || name == checkpoint::NAME
                            || name.to_string_lossy().starts_with(TENANT)
                    })
                })
            });
            return if is_store { Ok(false) } else { Err(VerifyError::NoStore(directory.to_owned())) };
        }
        Err(error) => return Err(io_error(&path)(error)),
    };
    Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Reads the checkpoint again: it may have moved on.
pub(super) fn reread(directory: &Path) -> Option<Body> {
    let bytes = fs::read(directory.join(checkpoint::NAME)).ok()?;
    Checkpoint::parse(&bytes).ok().map(|checkpoint| checkpoint.body)
}

pub(super) fn establish(
    directory: &Path,
    options: &VerifyOptions<'_>,
    report: &mut VerifyReport,
) -> Result<Trust, VerifyError> {
    let signer = signer(directory, options, report)?;
    let own = own(directory, report)?;
    let claimed = own.as_ref().and_then(Checkpoint::signer);
    let key = options.key.or(claimed).or(signer);
    if options.key.is_none() {
        report.leave_open(
            "the signer: no key was given, so whoever can write the store could have signed anew".to_owned(),
        );
    }
    let mut trust = Trust { key, ..Trust::default() };
    if let (Some(checkpoint), Some(key)) = (own, key) {
        match checkpoint.verify(&key) {
            Ok(()) => trust.body = Some(checkpoint.body),
            Err(error) => find(report, checkpoint::NAME, Wrong::Unsigned, error.to_string()),
        }
        if signer.is_some_and(|signer| signer != key) {
            let detail = "it is not the key that signed the checkpoint".to_owned();
            find(report, SIGNER, Wrong::Changed, detail);
        }
    }
    trust.anchor = anchor(options, key.as_ref())?;
    match (&trust.anchor, &trust.body) {
        (Some(anchor), Some(body)) if body.number < anchor.number || body.sequence < anchor.sequence => {
            let detail = format!(
                "it is number {} up to record {}, and number {} up to record {} was kept elsewhere",
                body.number, body.sequence, anchor.number, anchor.sequence
            );
            find(report, checkpoint::NAME, Wrong::RolledBack, detail);
        }
        (Some(_), _) => {}
        (None, _) => report.leave_open(
            "the end: no earlier checkpoint was given, so a store that was put back as a whole looks right"
                .to_owned(),
        ),
    }
    Ok(trust)
}

/// The key in `signer.pub`, which has to be spelled as it was written.
fn signer(
    directory: &Path,
    options: &VerifyOptions<'_>,
    report: &mut VerifyReport,
) -> Result<Option<PublicKey>, VerifyError> {
    let path = directory.join(SIGNER);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            find(report, SIGNER, Wrong::Missing, "the signer's public key is not there".to_owned());
            return Ok(None);
        }
        Err(error) => return Err(io_error(&path)(error)),
    };
    let key = std::str::from_utf8(&bytes).ok().and_then(|text| PublicKey::parse(text).ok());
    match key {
        Some(key) if key.pem().as_bytes() == bytes && options.key.is_none_or(|given| given == key) => {
            Ok(Some(key))
        }
        Some(_) | None => {
            find(report, SIGNER, Wrong::Changed, "it is not the signer's public key".to_owned());
            Ok(None)
        }
    }
}

fn own(directory: &Path, report: &mut VerifyReport) -> Result<Option<Checkpoint>, VerifyError> {
    let path = directory.join(checkpoint::NAME);
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let detail = "there is no checkpoint, so nothing is signed for".to_owned();
            find(report, checkpoint::NAME, Wrong::Missing, detail);
            return Ok(None);
        }
        Err(error) => return Err(io_error(&path)(error)),
    };
    if metadata.len() > checkpoint::BYTES_MAX {
        find(report, checkpoint::NAME, Wrong::Changed, "it is larger than any checkpoint".to_owned());
        return Ok(None);
    }
    let bytes = fs::read(&path).map_err(io_error(&path))?;
    match Checkpoint::parse(&bytes) {
        Ok(checkpoint) => Ok(Some(checkpoint)),
        Err(error) => {
            find(report, checkpoint::NAME, Wrong::Changed, error.to_string());
            Ok(None)
        }
    }
}

/// An anchor that is not good is the caller's mistake and no finding.
fn anchor(options: &VerifyOptions<'_>, key: Option<&PublicKey>) -> Result<Option<Body>, VerifyError> {
    let Some(bytes) = &options.anchor else { return Ok(None) };
    let anchor = Checkpoint::parse(bytes).map_err(VerifyError::Anchor)?;
    let own = anchor.signer();
    let key = key.or(own.as_ref()).ok_or(VerifyError::Anchor(CheckpointError::Shape))?;
    anchor.verify(key).map_err(VerifyError::Anchor)?;
    Ok(Some(anchor.body))
}

pub(super) fn find(report: &mut VerifyReport, file: &str, wrong: Wrong, detail: String) {
    report.find(Finding { file: file.to_owned(), wrong, detail, ..Finding::default() });
}
