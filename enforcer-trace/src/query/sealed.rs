//! Sealed files of one tenant: which of them matter, by the lines of its chain, and their records one by one.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enforcer_proto::v1;

use super::gap::{Gap, cause};
use crate::chain::{self, Lines, Removed, Sealed, What};
use crate::keys::{FileKey, KeyError, Keys};
use crate::parquet::{Error, Predicate, Reader};

/// What a tenant's chain says is there, and what it says is not.
pub(super) struct Chain {
    /// By first sequence number.
    pub(super) files: Vec<Sealed>,
    pub(super) gaps: Vec<Gap>,
    /// Segments and numbers of which the log no longer says anything that the chain does not.
    pub(super) settled: Vec<(u64, u64, u64)>,
}

impl Chain {
    /// Reads a chain, and keeps what an answer could want of it.
    pub(super) fn read(directory: &Path, tenant: &str, predicate: &Predicate) -> io::Result<Self> {
        let (files, gaps, settled) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut reading = Reading { tenant, predicate, files, gaps, settled };
        for raw in Lines::open(&directory.join(chain::NAME))?.into_iter().flatten() {
            let raw = raw?;
            match raw.parse() {
                Some(line) => reading.take(line.time_ns, line.what),
                // A last line without its end is being written: what it tells of is in the log still.
                None if !raw.whole => {}
                None => reading.gaps.push(reading.damaged(raw.offset)),
            }
        }
        let files = reading.files.into_values();
        let files = files.filter(|file| wants(predicate, file)).collect();
        Ok(Self { files, gaps: reading.gaps, settled: reading.settled })
    }
}

fn wants(predicate: &Predicate, file: &Sealed) -> bool {
    let time = |ns: u64| i64::try_from(ns).unwrap_or(i64::MAX);
    predicate.reaches(file.first, file.last)
        && predicate.spans(time(file.first_time_ns), time(file.last_time_ns))
}

struct Reading<'a> {
    tenant: &'a str,
    predicate: &'a Predicate,
    files: BTreeMap<(u64, String), Sealed>,
    gaps: Vec<Gap>,
    settled: Vec<(u64, u64, u64)>,
}

impl Reading<'_> {
    fn take(&mut self, time_ns: u64, what: What) {
        match what {
            What::Sealed(mut sealed) => {
                // One hash for every 4 KiB of every file is more than an answer needs.
                sealed.blocks = String::new();
                self.settled.push((sealed.segment, sealed.first, sealed.last));
                self.files.insert((sealed.first, sealed.path.clone()), sealed);
            }
            What::Removed(removed) => self.remove(&removed),
            What::Lost(lost) => {
                self.settled.push((lost.segment, lost.first, lost.last));
                let is_later =
                    self.predicate.from.is_none_or(|from| i64::try_from(time_ns).unwrap_or(i64::MAX) >= from);
                if is_later && self.predicate.reaches(lost.first, lost.last) {
                    self.gaps.push(Gap {
                        tenant: self.tenant.to_owned(),
                        cause: lost.why.name(),
                        first: lost.first,
                        last: lost.last,
                        records: lost.records,
                        time_ns,
                        subject: format!("segment {}", lost.segment),
                        message: "records of the log got into no file".to_owned(),
                    });
                }
            }
        }
    }

    /// What was removed on purpose is missing all the same. Files that went one after another are told of together.
    fn remove(&mut self, removed: &Removed) {
        let file = self.files.remove(&(removed.first, removed.path.clone()));
        let Some(file) = file.filter(|file| wants(self.predicate, file)) else { return };
        let why = removed.why.name();
        if let Some(gap) = self.gaps.last_mut().filter(|gap| gap.cause == why && gap.last < removed.first) {
            gap.last = removed.last;
            gap.records = gap.records.saturating_add(removed.records);
            return;
        }
        self.gaps.push(Gap {
            tenant: self.tenant.to_owned(),
            cause: why,
            first: removed.first,
            last: removed.last,
            records: removed.records,
            time_ns: file.first_time_ns,
            subject: removed.path.clone(),
            message: "sealed files were removed, from this one on".to_owned(),
        });
    }

    fn damaged(&self, offset: u64) -> Gap {
        let after = self.files.keys().next_back().map_or(0, |(first, _)| *first);
        Gap {
            tenant: self.tenant.to_owned(),
            cause: "damaged",
            first: after,
            last: u64::MAX,
            records: 0,
            time_ns: self.files.values().next_back().map_or(0, |file| file.last_time_ns),
            subject: chain::NAME.to_owned(),
            message: format!("the line at byte {offset} cannot be read: the file that it names is left out"),
        }
    }
}

/// The records of one file, a few at a time.
pub(super) struct FileSource {
    path: PathBuf,
    tenant: String,
    file: Sealed,
    keys: Arc<dyn Keys>,
    predicate: Predicate,
    rows: usize,
    reader: Option<Reader>,
    is_over: bool,
}

impl FileSource {
    /// Opens nothing yet.
    pub(super) fn new(
        directory: &Path,
        tenant: &str,
        file: Sealed,
        keys: Arc<dyn Keys>,
        predicate: Predicate,
        rows: usize,
    ) -> Self {
        let path = directory.join(&file.path);
        Self { path, tenant: tenant.to_owned(), file, keys, predicate, rows, reader: None, is_over: false }
    }

    pub(super) const fn is_open(&self) -> bool {
        self.reader.is_some()
    }

    /// Lets go of the file: what comes next is found again by its number.
    pub(super) fn close(&mut self) {
        self.reader = None;
    }

    /// The next records, in order; none at the end. A file that breaks off gives what it had, and then what is missing.
    pub(super) fn refill(&mut self, into: &mut VecDeque<v1::Record>) -> Option<Gap> {
        if self.is_over {
            return None;
        }
        let mut reader = match self.reader.take().map_or_else(|| self.open(), Ok) {
            Ok(reader) => reader,
            Err(gap) => return self.end(gap),
        };
        for _ in 0..self.rows {
            match reader.next() {
                Some(Ok(record)) => {
                    self.predicate.after = Some(record.sequence);
                    into.push_back(record);
                }
                Some(Err(error)) => return self.end(self.gap(&error, None, reader.unread())),
                None => {
                    self.is_over = true;
                    return None;
                }
            }
        }
        self.reader = Some(reader);
        None
    }

    fn end(&mut self, gap: Gap) -> Option<Gap> {
        self.is_over = true;
        Some(gap)
    }

    fn open(&self) -> Result<Reader, Gap> {
        let mut problem = None;
        let source =
            File::open(&self.path).map_err(|error| self.gap(&error.into(), None, self.file.records))?;
        let unwrap = |metadata: &[u8]| {
            FileKey::open(&*self.keys, metadata).map(Exposed).map_err(|error| {
                let message = error.to_string();
                problem = Some(error);
                message
            })
        };
        let opened = Reader::open(Arc::new(source), unwrap, self.predicate.clone());
        let reader = opened.map_err(|error| self.gap(&error, problem.as_ref(), self.file.records))?;
        Ok(reader.with_batch_rows(self.rows))
    }

    fn gap(&self, error: &Error, key: Option<&KeyError>, records: u64) -> Gap {
        let cause = match (key, error) {
            (Some(key), _) => cause(key),
            (None, Error::Io(error)) if error.kind() == io::ErrorKind::NotFound => "file_gone",
            (None, Error::Io(_)) => "unreadable",
            (None, _) => "damaged",
        };
        Gap {
            tenant: self.tenant.clone(),
            cause,
            first: self.predicate.after.map_or(0, |after| after.saturating_add(1)).max(self.file.first),
            last: self.file.last,
            records,
            time_ns: self.file.first_time_ns,
            subject: self.file.path.clone(),
            message: error.to_string(),
        }
    }
}

/// A data key, as bytes for the reader.
struct Exposed(crate::keys::DataKey);

impl AsRef<[u8]> for Exposed {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
