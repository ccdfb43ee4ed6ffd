//! A disk that dies at its n-th operation, or is full, or read-only, while a test says so.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::disk::{Disk, Local};

/// Works until it does not.
#[derive(Default)]
pub(crate) struct Faulty {
    /// Operations so far.
    pub(crate) done: AtomicU64,
    /// The operation at which it dies, for good; 0 for never. A write that dies leaves half of its bytes.
    pub(crate) dies_at: AtomicU64,
    /// While set, nothing grows.
    pub(crate) is_full: AtomicBool,
    /// While set, nothing changes.
    pub(crate) is_read_only: AtomicBool,
    /// While set, waiting for the disk fails, though what was written is there.
    pub(crate) does_not_sync: AtomicBool,
    /// Bytes that may still be written while it is full.
    pub(crate) room: AtomicU64,
}

impl Faulty {
    pub(crate) fn dying_at(operation: u64) -> Self {
        Self { dies_at: operation.into(), ..Self::default() }
    }

    fn step(&self) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let dies_at = self.dies_at.load(Ordering::SeqCst);
        if dies_at != 0 && number >= dies_at {
            return Err(io::Error::other("dead"));
        }
        if self.is_read_only.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }

    fn grow(&self, bytes: u64) -> io::Result<()> {
        if !self.is_full.load(Ordering::SeqCst) {
            return Ok(());
        }
        let taken =
            self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(bytes));
        taken.map(|_| ()).map_err(|_| io::ErrorKind::StorageFull.into())
    }
}

impl Disk for Faulty {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        Local.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        Local.open(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = self.step().and_then(|()| self.grow(u64::try_from(bytes.len()).unwrap())) {
            if !self.is_read_only.load(Ordering::SeqCst) {
                Local.write_at(file, &bytes[..bytes.len() / 2], offset)?;
            }
            return Err(error);
        }
        Local.write_at(file, bytes, offset)
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        self.step()?;
        // Nobody cuts the power of a test: what was written is there.
        if self.does_not_sync.load(Ordering::SeqCst) { Err(io::Error::other("no sync")) } else { Ok(()) }
    }

    fn set_len(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.step()?;
        file.set_len(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        Local.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let freed = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        Local.remove(path)?;
        self.room.fetch_add(freed, Ordering::SeqCst);
        Ok(())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        self.step()
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        Local.make_directory(path)
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(if self.is_full.load(Ordering::SeqCst) { self.room.load(Ordering::SeqCst) } else { 1 << 40 })
    }
}
