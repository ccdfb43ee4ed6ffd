//! A tenant's records in the log: those that were acknowledged, in order. Segments that are sealed while one reads are
//! passed over; their records are in files by then.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use enforcer_proto::v1;

use super::frame::{Chain, KeyNote, Kind};
use super::open::{OpenError, Opener};
use super::read::{Found, Frame, Reader};
use super::segments;
use crate::keys::Keys;

/// Why records of the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A system call failed.
    #[error("cannot read {path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A frame gives nothing back. The records after it can still be read.
    #[error("{path}, byte {offset}: {error}")]
    Frame {
        /// Which segment.
        path: PathBuf,
        /// Where the frame begins.
        offset: u64,
        /// Why.
        error: OpenError,
    },
    /// Something in the log is not what was written. The records after it can still be read.
    #[error("{path}, byte {offset}: it is not what was written")]
    Damaged {
        /// Which segment.
        path: PathBuf,
        /// Where.
        offset: u64,
    },
}

/// Records of one tenant.
pub struct Records<'a> {
    log: PathBuf,
    keys: &'a dyn Keys,
    tenant: String,
    after: u64,
    waiting: VecDeque<u64>,
    segment: Option<Segment>,
    ready: VecDeque<v1::Record>,
}

struct Segment {
    path: PathBuf,
    reader: Reader,
    until: Option<Chain>,
    opener: Option<Opener>,
    is_over: bool,
}

/// A tenant's records in the log with numbers larger than `after`.
///
/// # Errors
/// The log cannot be listed.
pub fn records<'a>(
    log: &Path,
    keys: &'a dyn Keys,
    tenant: &str,
    after: u64,
) -> Result<Records<'a>, ReadError> {
    let waiting = segments::list(log).map_err(|error| ReadError::Io { path: log.to_owned(), error })?;
    Ok(Records {
        log: log.to_owned(),
        keys,
        tenant: tenant.to_owned(),
        after,
        waiting: waiting.into(),
        segment: None,
        ready: VecDeque::new(),
    })
}

impl Iterator for Records<'_> {
    type Item = Result<v1::Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Some(Ok(record));
            }
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Records<'_> {
    /// One frame on; false at the end of the log.
    fn fill(&mut self) -> Result<bool, ReadError> {
        let Some(segment) = self.segment.as_mut().filter(|segment| !segment.is_over) else {
            let Some(number) = self.waiting.pop_front() else { return Ok(false) };
            self.segment = self.begin(number)?;
            return Ok(true);
        };
        let found = segment.reader.read().map_err(|error| {
            segment.is_over = true;
            ReadError::Io { path: segment.path.clone(), error }
        })?;
        match found {
            Some(Found::Frame(frame)) => {
                let records = segment.take(&frame, &self.tenant, self.keys, self.after)?;
                self.ready.extend(records);
            }
            Some(Found::Changed(Frame { offset, .. }) | Found::Damaged { offset, .. }) => {
                return Err(ReadError::Damaged { path: segment.path.clone(), offset });
            }
            Some(Found::Torn { .. }) | None => segment.is_over = true,
        }
        Ok(true)
    }

    /// Opens a segment; `None` when it is gone, or nothing in it counts.
    fn begin(&self, number: u64) -> Result<Option<Segment>, ReadError> {
        let path = segments::path(&self.log, number);
        let failed = |error| ReadError::Io { path: path.clone(), error };
        let reader = match Reader::open(&path) {
            Ok(reader) => reader,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let until = match self.waiting.front() {
            Some(next) => segments::previous(&segments::path(&self.log, *next)).map_err(failed)?,
            None => None,
        };
        if until.is_some() && segments::previous(&path).map_err(failed)? == until {
            return Ok(None);
        }
        Ok(Some(Segment { path, reader, until, opener: None, is_over: false }))
    }
}

impl Segment {
    fn take(
        &mut self,
        frame: &Frame,
        tenant: &str,
        keys: &dyn Keys,
        after: u64,
    ) -> Result<Vec<v1::Record>, ReadError> {
        self.is_over = self.until == Some(frame.hash);
        let failed = |error| ReadError::Frame { path: self.path.clone(), offset: frame.offset, error };
        match (frame.header.kind, &self.opener) {
            (Kind::Key, _) => {
                let note: Option<KeyNote> = serde_json::from_slice(&frame.body).ok();
                if let Some(note) = note.filter(|note| note.tenant == tenant) {
                    // Without its key nothing of the tenant in this segment can be read: that is said once.
                    let opener = Opener::new(&note, keys).map_err(|error| failed(error.into()))?;
                    self.opener = Some(opener);
                }
                Ok(Vec::new())
            }
            (Kind::Records, Some(opener))
                if opener.index() == frame.header.tenant && frame.header.last > after =>
            {
                let mut records = opener.open(frame).map_err(failed)?;
                records.retain(|record| record.sequence > after);
                Ok(records)
            }
            (Kind::Records | Kind::Segment, _) => Ok(Vec::new()),
        }
    }
}
