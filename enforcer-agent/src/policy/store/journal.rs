//! The open journal: append, take back, confirm, rewrite.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use prost::Message as _;

use super::directory::{self, FILE_MODE, io_error};
use super::entry::Confirmed;
use super::frame::{self, Chain, PREAMBLE};
use super::load::{self, Loaded, Scan};
use super::{Content, Entry, StoreError};

const NAME: &str = "policy.journal";
const NEW_NAME: &str = "policy.journal.new";

/// An open journal, locked against other agents.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    end: u64,
    chain: Chain,
    /// Where the last appended record starts, and the chain there, while it may still be taken back.
    last: Option<(u64, Chain)>,
    poisoned: bool,
    /// Size when it was last written anew; 0 since it was opened.
    rewritten_bytes: u64,
}

impl Store {
    /// Opens the journal in a directory, making both when they are missing, and cuts off a torn tail.
    ///
    /// # Errors
    /// Wrong owner or permissions, another agent, or damage: never a silently lost policy.
    pub fn open(directory: &Path) -> Result<(Self, Loaded), StoreError> {
        directory::prepare(directory)?;
        let path = directory.join(NAME);
        let new = directory.join(NEW_NAME);
        match fs::remove_file(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("remove", &new, error)),
        }
        if !path.try_exists().map_err(|error| io_error("look at", &path, error))? {
            write_new(&new, &[])?;
            put_in_place(&new, &path, directory)?;
        }
        let file = open_private(&path)?;
        let Scan { loaded, end, chain } = load::scan(&file, &path)?;
        if loaded.torn_bytes > 0 {
            file.set_len(end)
                .and_then(|()| file.sync_all())
                .map_err(|error| io_error("cut the torn tail of", &path, error))?;
        }
        let store = Self {
            directory: directory.to_owned(),
            path,
            file,
            end,
            chain,
            last: None,
            poisoned: false,
            rewritten_bytes: 0,
        };
        Ok((store, loaded))
    }

    /// Appends a record and waits until it is on the disk.
    ///
    /// # Errors
    /// The journal is as it was before.
    pub fn append(&mut self, entry: &Entry) -> Result<(), StoreError> {
        let start = (self.end, self.chain);
        let written =
            self.write(entry).and_then(|()| self.file.sync_data().map_err(|error| self.io("sync", error)));
        self.last = Some(start);
        match written {
            Ok(()) => Ok(()),
            Err(error) => {
                self.retract()?;
                Err(error)
            }
        }
    }

    /// Takes back the last appended record: the kernel did not take its revision.
    ///
    /// # Errors
    /// The record is still there, and no other is taken any more.
    pub fn retract(&mut self) -> Result<(), StoreError> {
        let Some((end, chain)) = self.last.take() else { return Ok(()) };
        if let Err(error) = self.file.set_len(end).and_then(|()| self.file.sync_all()) {
            self.poisoned = true;
            return Err(self.io("take back the last record of", error));
        }
        (self.end, self.chain) = (end, chain);
        Ok(())
    }

    /// Notes that the kernel took a revision. It does not wait for the disk: losing the note loses nothing.
    ///
    /// # Errors
    /// The note was not written.
    pub fn confirm(&mut self, revision: u64, digest: &[u8]) -> Result<(), StoreError> {
        self.last = None;
        self.write(&Entry {
            revision,
            digest: digest.to_vec(),
            content: Some(Content::Confirmed(Confirmed {})),
            ..Entry::default()
        })
    }

    /// Replaces the whole journal at once.
    ///
    /// # Errors
    /// The journal is as it was before.
    pub fn rewrite(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let new = self.directory.join(NEW_NAME);
        let (file, end, chain) = write_new(&new, entries)?;
        lock(&file, &new)?;
        put_in_place(&new, &self.path, &self.directory)?;
        (self.file, self.end, self.chain, self.last) = (file, end, chain, None);
        self.rewritten_bytes = end;
        Ok(())
    }

    /// From now on every write fails, as on a full disk.
    #[cfg(test)]
    pub(crate) fn break_for_test(&mut self) {
        self.file = File::open("/dev/full").expect("a device that is on every Linux");
    }

    /// Bytes on disk.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.end
    }

    /// Bytes it had when it was last written anew: what cannot be saved by doing it again.
    #[must_use]
    pub const fn rewritten_bytes(&self) -> u64 {
        self.rewritten_bytes
    }

    fn write(&mut self, entry: &Entry) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        let (bytes, chain) = frame_of(&self.chain, entry)?;
        if let Err(error) = self.file.write_all_at(&bytes, self.end) {
            // A part may be there; without cutting it off the next record would follow a torn one.
            self.poisoned = self.file.set_len(self.end).is_err();
            return Err(self.io("write", error));
        }
        self.end += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.chain = chain;
        Ok(())
    }

    fn io(&self, operation: &'static str, error: io::Error) -> StoreError {
        io_error(operation, &self.path, error)
    }
}

fn frame_of(chain: &Chain, entry: &Entry) -> Result<(Vec<u8>, Chain), StoreError> {
    let payload = entry.encode_to_vec();
    let (header, chain) =
        frame::header(chain, &payload).ok_or(StoreError::TooLarge { bytes: payload.len() })?;
    let mut bytes = Vec::with_capacity(header.len() + payload.len());
    bytes.extend_from_slice(&header);
    bytes.extend_from_slice(&payload);
    Ok((bytes, chain))
}

/// Writes a journal beside the one in use, and waits for the disk.
fn write_new(path: &Path, entries: &[Entry]) -> Result<(File, u64, Chain), StoreError> {
    let failed = |error| io_error("write", path, error);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(failed)?;
    file.write_all(&PREAMBLE).map_err(failed)?;
    let mut end = u64::try_from(PREAMBLE.len()).unwrap_or(u64::MAX);
    let mut chain = frame::start();
    for entry in entries {
        let (bytes, next) = frame_of(&chain, entry)?;
        file.write_all(&bytes).map_err(failed)?;
        end += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        chain = next;
    }
    file.sync_all().map_err(failed)?;
    Ok((file, end, chain))
}

fn put_in_place(new: &Path, path: &Path, directory: &Path) -> Result<(), StoreError> {
    fs::rename(new, path).map_err(|error| io_error("replace", path, error))?;
    directory::sync(directory)
}

fn open_private(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|error| io_error("open", path, error))?;
    let metadata = file.metadata().map_err(|error| io_error("look at", path, error))?;
    if !metadata.is_file() {
        return Err(StoreError::Kind(path.to_owned()));
    }
    directory::private(path, &metadata, FILE_MODE)?;
    lock(&file, path)?;
    Ok(file)
}

fn lock(file: &File, path: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(io_error("lock", path, error)),
    }
}
