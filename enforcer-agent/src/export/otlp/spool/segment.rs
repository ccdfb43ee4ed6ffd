//! A file of frames. Its index is in memory; what is behind the last whole frame is cut off when it is opened.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::cipher::Cipher;
use super::frame::{self, Batch, HEADER_BYTES, Header};
use super::place::{FILE_MODE, SUFFIX, sync};
use super::{Placed, SpoolError};

/// A file, and the frames in it that were not taken off.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// Its length, those that were taken off included.
    pub(super) bytes: u64,
    frames: VecDeque<Placed>,
}

/// What was seen on the way through a file.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) last_id: u64,
    pub(super) torn_bytes: u64,
    pub(super) last: Option<(u64, u64)>,
}

impl Segment {
    pub(super) const fn new(number: u64) -> Self {
        Self { number, bytes: 0, frames: VecDeque::new() }
    }

    /// Makes its file.
    pub(super) fn create(&self, directory: &Path) -> Result<File, SpoolError> {
        let path = self.path(directory);
        let made = OpenOptions::new().append(true).create_new(true).mode(FILE_MODE).open(&path);
        let file = made.map_err(|error| SpoolError::io("create", &path, error))?;
        sync(directory)?;
        Ok(file)
    }

    /// Reads the headers of a file; frames up to `taken` were taken off.
    pub(super) fn scan(directory: &Path, number: u64, taken: u64) -> Result<(Self, Scanned), SpoolError> {
        let mut segment = Self::new(number);
        let mut scanned = Scanned::default();
        let path = segment.path(directory);
        let unreadable = |error| SpoolError::io("read", &path, error);
        let mut file = File::open(&path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        while let Some(header) = read_header(&mut file) {
            let bytes = u64::from(header.body_bytes) + header_bytes();
            let end = segment.bytes + bytes;
            if end > length {
                break;
            }
            scanned.last_id = header.id;
            scanned.last = Some((header.run, header.last));
            if header.id > taken {
                segment.frames.push_back(Placed::of(header, segment.bytes, bytes));
            }
            segment.bytes = end;
            file.seek(SeekFrom::Start(end)).map_err(unreadable)?;
        }
        scanned.torn_bytes = length - segment.bytes;
        if scanned.torn_bytes > 0 {
            let file = OpenOptions::new().write(true).open(&path).map_err(unreadable)?;
            file.set_len(segment.bytes).map_err(|error| SpoolError::io("cut", &path, error))?;
        }
        Ok((segment, scanned))
    }

    pub(super) fn path(&self, directory: &Path) -> PathBuf {
        directory.join(format!("{:016x}{SUFFIX}", self.number))
    }

    /// A frame was written at its end.
    pub(super) fn append(&mut self, header: Header, bytes: u64) {
        self.frames.push_back(Placed::of(header, self.bytes, bytes));
        self.bytes += bytes;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn records(&self) -> u64 {
        self.frames.iter().map(|placed| u64::from(placed.records)).sum()
    }

    pub(super) fn first(&self) -> Option<&Placed> {
        self.frames.front()
    }

    pub(super) fn holds(&self, id: u64) -> bool {
        self.frames.front().is_some_and(|placed| placed.id == id)
    }

    /// Takes the first frame off, if it is the one that is meant.
    pub(super) fn take_off(&mut self, id: u64) -> Option<Placed> {
        if self.holds(id) { self.frames.pop_front() } else { None }
    }

    /// A frame; `None` when it is not what was written.
    pub(super) fn read(
        &self,
        directory: &Path,
        placed: &Placed,
        cipher: &Cipher,
    ) -> Result<Option<Batch>, SpoolError> {
        Ok(frame::open(&self.raw(directory, placed)?, cipher))
    }

    fn raw(&self, directory: &Path, placed: &Placed) -> Result<Vec<u8>, SpoolError> {
        let path = self.path(directory);
        let mut bytes = vec![0; usize::try_from(placed.bytes).unwrap_or_default()];
        let read = File::open(&path).and_then(|file| file.read_exact_at(&mut bytes, placed.offset));
        match read {
            Ok(()) => Ok(bytes),
            // Somebody cut the file: that is damage, and not a disk that may answer later.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            Err(error) => Err(SpoolError::io("read", &path, error)),
        }
    }

    /// Drops all but one frame, which keeps its number, and says how many records went.
    pub(super) fn keep_only(&mut self, directory: &Path, id: u64) -> Result<u64, SpoolError> {
        let Some(kept) = self.frames.iter().find(|placed| placed.id == id).copied() else { return Ok(0) };
        let bytes = self.raw(directory, &kept)?;
        let path = self.path(directory);
        let temporary = path.with_extension("new");
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&temporary)
            .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_data()))
            .and_then(|()| fs::rename(&temporary, &path));
        written.map_err(|error| SpoolError::io("shorten", &path, error))?;
        let dropped = self.records() - u64::from(kept.records);
        self.bytes = kept.bytes;
        self.frames = VecDeque::from([Placed { offset: 0, ..kept }]);
        Ok(dropped)
    }

    /// Removes its file.
    pub(super) fn remove(&self, directory: &Path) -> Result<(), SpoolError> {
        let path = self.path(directory);
        match fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(SpoolError::io("remove", &path, error)),
        }
    }
}

fn read_header(file: &mut File) -> Option<Header> {
    let mut bytes = [0; HEADER_BYTES];
    file.read_exact(&mut bytes).ok()?;
    Header::decode(&bytes)
}

fn header_bytes() -> u64 {
    u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX)
}
