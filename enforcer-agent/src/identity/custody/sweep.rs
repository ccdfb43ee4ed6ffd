//! Removing for good, and clearing what an interrupted run left.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::error::CustodyError;
use super::frame::FILE_MAX_BYTES;
use super::{name, place};

/// Drawers that are being removed; what is left of them goes when the vault is opened.
pub(super) const REMOVED: &str = ".removed-";

/// Finishes removals and clears unfinished writes that an earlier run left.
pub(super) fn sweep(directory: &Path) -> Result<(), CustodyError> {
    let error = |error| CustodyError::io("list", directory, error);
    for entry in fs::read_dir(directory).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let named = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if named.starts_with(REMOVED) {
            shred(&path)?;
        } else if !named.starts_with('.') && path.is_dir() {
            sweep_drawer(&path)?;
        }
    }
    Ok(())
}

fn sweep_drawer(drawer: &Path) -> Result<(), CustodyError> {
    let error = |error| CustodyError::io("list", drawer, error);
    for entry in fs::read_dir(drawer).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.file_name().unwrap_or_default().to_string_lossy().starts_with('.') {
            place::remove(&path)?;
        }
    }
    Ok(())
}

/// Overwrites a drawer's key, which is as good as overwriting everything, and removes the directory. A disk that
/// writes elsewhere than it is told keeps a sealed key at most.
pub(super) fn shred(directory: &Path) -> Result<(), CustodyError> {
    let path = directory.join(name::KEY);
    if let Ok(file) = OpenOptions::new().write(true).open(&path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let zeros = vec![0; usize::try_from(length).unwrap_or(0).min(FILE_MAX_BYTES)];
        (&file)
            .write_all(&zeros)
            .and_then(|()| file.sync_all())
            .map_err(|error| CustodyError::io("overwrite", &path, error))?;
    }
    place::remove(&path)?;
    fs::remove_dir_all(directory).map_err(|error| CustodyError::io("remove", directory, error))
}
