//! What the store does to files, one operation at a time: the seam at which tests let a disk fill up, fail or die.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::StoreError;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Changes to a disk. Reading needs no seam.
pub(crate) trait Disk: Send + Sync {
    /// Makes an empty file, for its owner alone; one that is there is emptied.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Opens a file that is there, or makes it, to write at places.
    fn open(&self, path: &Path) -> io::Result<File>;
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Waits until contents and size are on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;
    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; one that is gone is removed already.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names in a directory last.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Makes a directory, for its owner alone; one that is there stays.
    fn make_directory(&self, path: &Path) -> io::Result<()>;
    /// Bytes that are free where `path` is.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The disk of this machine.
#[derive(Debug)]
pub(crate) struct Local;

impl Disk for Local {
    fn create(&self, path: &Path) -> io::Result<File> {
        options().create(true).truncate(true).open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        options().create(true).truncate(false).open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes).and_then(|()| file.sync_all())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let facts = nix::sys::statvfs::statvfs(path)?;
        Ok(facts.blocks_available().saturating_mul(facts.fragment_size()))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(FILE_MODE).custom_flags(nix::libc::O_NOFOLLOW);
    options
}

/// Replaces a file whole: there is always the old one or the new one.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let new = temporary(path);
    let written = disk.create(&new).and_then(|file| {
        disk.write_at(&file, bytes, 0)?;
        disk.sync(&file)?;
        disk.rename(&new, path)
    });
    if let Err(error) = written {
        let _tried = disk.remove(&new);
        return Err(StoreError::io("write", path, error));
    }
    sync_parent(disk, path)
}

/// The name under which a file is written before it is whole. It begins with a dot: nobody reads those.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.tmp"))
}

pub(crate) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    disk.sync_directory(parent).map_err(|error| StoreError::io("sync", parent, error))
}

/// Makes the store's directory, or checks that it is nobody else's.
pub(crate) fn prepare(disk: &dyn Disk, path: &Path) -> Result<(), StoreError> {
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(parent);
        made.map_err(|error| StoreError::io("create", parent, error))?;
    }
    disk.make_directory(path).map_err(|error| StoreError::io("create", path, error))?;
    sync_parent(disk, path)?;
    let metadata = fs::symlink_metadata(path).map_err(|error| StoreError::io("look at", path, error))?;
    if !metadata.is_dir() {
        return Err(StoreError::Kind(path.to_owned()));
    }
    let agent = nix::unistd::geteuid().as_raw();
    if metadata.uid() != agent {
        return Err(StoreError::Owner { path: path.to_owned(), owner: metadata.uid(), agent });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Permissions { path: path.to_owned(), mode, wanted: DIRECTORY_MODE });
    }
    Ok(())
}
