//! Files and directories that nobody else may touch: made, checked, read within bounds, written whole.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::CustodyError;

pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;
/// Bits that nobody but the owner may have.
pub(super) const OTHERS: u32 = 0o077;
/// Bits that nobody outside owner and group may have.
pub(super) const WORLD: u32 = 0o007;

/// Makes the directories that are missing, for their owner alone; those that are there stay as they are.
pub(super) fn above(path: &Path) -> Result<(), CustodyError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    made.map_err(|error| CustodyError::io("create", path, error))
}

/// Makes a directory, or checks that it is nobody else's.
pub(super) fn prepare(path: &Path) -> Result<(), CustodyError> {
    if let Some(parent) = path.parent() {
        above(parent)?;
    }
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(CustodyError::io("create", path, error)),
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| CustodyError::io("look at", path, error))?;
    if !metadata.is_dir() {
        return Err(CustodyError::Kind(path.to_owned()));
    }
    private(path, &metadata, OTHERS, DIRECTORY_MODE)
}

/// Refuses what belongs to others, and what has one of the `forbidden` permissions.
pub(super) fn private(
    path: &Path,
    metadata: &Metadata,
    forbidden: u32,
    wanted: u32,
) -> Result<(), CustodyError> {
    let agent = nix::unistd::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != agent && owner != 0 {
        return Err(CustodyError::Owner { path: path.to_owned(), owner, agent });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & forbidden != 0 {
        return Err(CustodyError::Permissions { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

/// The contents of a file; `None` when there is none. What was opened is what is checked.
pub(super) fn read(
    path: &Path,
    forbidden: u32,
    bytes_max: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, CustodyError> {
    let file = match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CustodyError::io("open", path, error)),
    };
    let metadata = file.metadata().map_err(|error| CustodyError::io("look at", path, error))?;
    if !metadata.is_file() {
        return Err(CustodyError::Kind(path.to_owned()));
    }
    private(path, &metadata, forbidden, FILE_MODE)?;
    if metadata.len() > bytes_max {
        return Err(CustodyError::corrupt(path, "it is larger than anything that is kept"));
    }
    // One allocation: a growing buffer would leave copies of a key behind.
    let capacity = usize::try_from(metadata.len()).unwrap_or(0).saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(bytes_max).read_to_end(&mut bytes).map_err(|error| CustodyError::io("read", path, error))?;
    Ok(Some(bytes))
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::identity) struct Stamp(Option<(u64, u64, u64, i64, i64)>);

/// The state of a file; always the same while there is none.
pub(in crate::identity) fn stamp(path: &Path) -> Stamp {
    let file = fs::metadata(path).ok();
    Stamp(file.map(|file| (file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec())))
}

/// Writes a new file; one that exists is left alone and an error.
pub(in crate::identity) fn create(path: &Path, bytes: &[u8], synced: bool) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    if synced {
        file.sync_all()?;
    }
    Ok(())
}

/// Puts `bytes` under `path` by way of `temporary`, so that there is always either the old or the new contents.
pub(super) fn replace(path: &Path, temporary: &Path, bytes: &[u8], synced: bool) -> Result<(), CustodyError> {
    let written = create(temporary, bytes, synced).and_then(|()| fs::rename(temporary, path));
    if let Err(error) = written {
        let _already_gone = fs::remove_file(temporary);
        return Err(CustodyError::io("write", path, error));
    }
    match path.parent() {
        Some(directory) if synced => sync(directory),
        Some(_) | None => Ok(()),
    }
}

/// Makes a new or changed name in a directory last.
pub(in crate::identity) fn sync(directory: &Path) -> Result<(), CustodyError> {
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| CustodyError::io("sync", directory, error))
}

/// Removes a file; one that is not there is removed already.
pub(in crate::identity) fn remove(path: &Path) -> Result<(), CustodyError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CustodyError::io("remove", path, error)),
    }
}

/// Names in a directory, in order, without those that begin with a dot; none when there is no directory.
pub(super) fn list(directory: &Path) -> Result<Vec<String>, CustodyError> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CustodyError::io("list", directory, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| CustodyError::io("list", directory, error))?;
        match entry.file_name().into_string() {
            Ok(name) if !name.starts_with('.') => names.push(name),
            Ok(_) | Err(_) => {}
        }
    }
    names.sort();
    Ok(names)
}
