//! The state directory: 0700, the agent's own, and synced whenever a name in it changes.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use super::StoreError;

pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;

/// Makes the directory, or checks that it is nobody else's.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|error| io_error("create", parent, error))?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error("create", path, error)),
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| io_error("look at", path, error))?;
    if !metadata.is_dir() {
        return Err(StoreError::Kind(path.to_owned()));
    }
    private(path, &metadata, DIRECTORY_MODE)
}

/// Refuses what others may read or write, and what belongs to others.
pub(super) fn private(path: &Path, metadata: &Metadata, wanted: u32) -> Result<(), StoreError> {
    let agent = nix::unistd::geteuid().as_raw();
    if metadata.uid() != agent {
        return Err(StoreError::Owner { path: path.to_owned(), owner: metadata.uid(), agent });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Permissions { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

/// Makes a rename in the directory last.
pub(super) fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| io_error("sync", path, error))
}

pub(super) fn io_error(operation: &'static str, path: &Path, error: io::Error) -> StoreError {
    StoreError::Io { operation, path: path.to_owned(), error }
}
