//! A tenant's chain where it is written: what it holds now, and one line more.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;

use super::{Line, Lines, Lost, NAME, Removed, Sealed, What};
use crate::checkpoint::ChainPosition;
use crate::disk::{Disk, sync_parent};
use crate::error::StoreError;

/// A chain that is open for writing.
pub(crate) struct Chain {
    /// The tenant's directory.
    directory: PathBuf,
    path: PathBuf,
    file: Option<File>,
    position: ChainPosition,
    /// Files that are sealed and not removed, by first sequence number and path.
    files: BTreeMap<(u64, String), Facts>,
    removed_records: u64,
    /// The last record of a file that was removed.
    removed_to: u64,
    /// What is known of segments of the log, until they are gone.
    segments: BTreeMap<u64, OfSegment>,
}

/// What of a sealed file is kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) first_time_ns: u64,
    pub(crate) last_time_ns: u64,
    pub(crate) segment: u64,
}

#[derive(Default)]
struct OfSegment {
    /// The last record of it that is in a file.
    last: Option<u64>,
    lost: Vec<Lost>,
}

impl Chain {
    /// Opens a tenant's chain, and says whether it is what was signed for. Where less is there, it goes on from what the
    /// checkpoint says, so that the gap stays to be seen.
    pub(crate) fn open(
        disk: &dyn Disk,
        directory: PathBuf,
        tenant: &str,
        known: Option<&ChainPosition>,
    ) -> Result<(Self, bool), StoreError> {
        let path = directory.join(NAME);
        let position = ChainPosition { lines: 0, bytes: 0, head: Line::start(tenant) };
        let mut chain = Self {
            directory,
            path,
            file: None,
            position,
            files: BTreeMap::new(),
            removed_records: 0,
            removed_to: 0,
            segments: BTreeMap::new(),
        };
        let Some(known) = known else {
            chain.load(disk, 0)?;
            return Ok((chain, true));
        };
        let is_signed = chain.load(disk, known.lines)? == known.head;
        if chain.position.lines < known.lines {
            chain.position.lines = known.lines;
            chain.position.head.clone_from(&known.head);
        }
        Ok((chain, is_signed))
    }

    /// Reads every line; the hash of the line after which there are so many.
    fn load(&mut self, disk: &dyn Disk, signed_lines: u64) -> Result<String, StoreError> {
        let mut signed = String::new();
        let path = self.path.clone();
        let unreadable = |error| StoreError::io("read", &path, error);
        let Some(lines) = Lines::open(&self.path).map_err(unreadable)? else { return Ok(signed) };
        let mut torn = false;
        for raw in lines {
            let raw = raw.map_err(unreadable)?;
            torn = !raw.whole;
            if !raw.whole {
                continue;
            }
            let line = raw.parse();
            self.position.lines =
                line.as_ref().map_or(self.position.lines, |line| line.line).saturating_add(1);
            self.position.bytes = raw.offset + u64::try_from(raw.bytes.len()).unwrap_or(0) + 1;
            self.position.head = Line::hash(&raw.bytes);
            if self.position.lines == signed_lines {
                signed.clone_from(&self.position.head);
            }
            if let Some(line) = line {
                self.apply(line.what);
            }
        }
        if torn {
            let file = disk.open(&self.path).map_err(unreadable)?;
            disk.set_len(&file, self.position.bytes)
                .map_err(|error| StoreError::io("cut the torn tail of", &self.path, error))?;
        }
        Ok(signed)
    }

    /// Adds a line and waits for the disk.
    ///
    /// # Errors
    /// The chain is as it was before; what may be there of the line is cut off now, or written over by the next one.
    pub(crate) fn append(&mut self, disk: &dyn Disk, what: What, now_ns: u64) -> Result<(), StoreError> {
        let failed = |operation, error| StoreError::io(operation, &self.path, error);
        let is_new = self.position.bytes == 0;
        if self.file.is_none() {
            if is_new {
                disk.make_directory(&self.directory)
                    .map_err(|error| failed("create the directory of", error))?;
                sync_parent(disk, &self.directory)?;
            }
            let file = disk.open(&self.path).map_err(|error| failed("open", error))?;
            // What an earlier line left that could neither be finished nor cut off.
            if file.metadata().is_ok_and(|metadata| metadata.len() > self.position.bytes) {
                disk.set_len(&file, self.position.bytes).map_err(|error| failed("cut", error))?;
            }
            self.file = Some(file);
        }
        let Some(file) = &self.file else { return Ok(()) };
        let line =
            Line { line: self.position.lines, previous: self.position.head.clone(), time_ns: now_ns, what };
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        let head = Line::hash(&bytes);
        bytes.push(b'\n');
        let written = disk.write_at(file, &bytes, self.position.bytes).and_then(|()| disk.sync(file));
        if let Err(error) = written {
            let error = failed("write", error);
            let _tried_again_later = disk.set_len(file, self.position.bytes);
            self.file = None;
            return Err(error);
        }
        if is_new {
            sync_parent(disk, &self.path)?;
        }
        self.position.lines = self.position.lines.saturating_add(1);
        self.position.bytes += u64::try_from(bytes.len()).unwrap_or(0);
        self.position.head = head;
        self.apply(line.what);
        Ok(())
    }

    fn apply(&mut self, what: What) {
        match what {
            What::Sealed(sealed) => {
                let of = self.segments.entry(sealed.segment).or_default();
                of.last = of.last.max(Some(sealed.last));
                let facts = Facts::of(sealed);
                self.files.insert((facts.first, facts.path.clone()), facts);
            }
            What::Removed(removed) => {
                if self.files.remove(&(removed.first, removed.path)).is_some() {
                    self.removed_records = self.removed_records.saturating_add(removed.records);
                    self.removed_to = self.removed_to.max(removed.last);
                }
            }
            What::Lost(lost) => self.segments.entry(lost.segment).or_default().lost.push(lost),
        }
    }

    /// Where it is, for a checkpoint.
    pub(crate) const fn position(&self) -> &ChainPosition {
        &self.position
    }

    /// Files that are there, oldest first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Facts> {
        self.files.values()
    }

    /// Records that were removed.
    pub(crate) const fn removed_records(&self) -> u64 {
        self.removed_records
    }

    /// True when a file with these first and last records was removed, or was to be.
    pub(crate) fn removed(&self, first: u64, last: u64) -> bool {
        last <= self.removed_to && !self.holds(first, last)
    }

    /// True when a file with these first and last records is there.
    pub(crate) fn holds(&self, first: u64, last: u64) -> bool {
        self.files.values().any(|facts| facts.first == first && facts.last == last)
    }

    /// The last record of a segment that is in a file already.
    pub(crate) fn sealed_to(&self, segment: u64) -> Option<u64> {
        self.segments.get(&segment).and_then(|of| of.last)
    }

    /// True when the chain says so already.
    pub(crate) fn knows(&self, lost: &Lost) -> bool {
        self.segments.get(&lost.segment).is_some_and(|of| of.lost.contains(lost))
    }

    /// Segments below are gone, and nobody asks for them any more.
    pub(crate) fn forget_below(&mut self, oldest: u64) {
        self.segments = self.segments.split_off(&oldest);
    }
}

impl Facts {
    fn of(sealed: Sealed) -> Self {
        let Sealed { path, bytes, first, last, records, first_time_ns, last_time_ns, segment, .. } = sealed;
        Self { path, bytes, records, first, last, first_time_ns, last_time_ns, segment }
    }

    /// The line that says that it was removed.
    pub(crate) fn removed(&self, why: super::RemovedWhy) -> Removed {
        let Self { path, bytes, records, first, last, .. } = self.clone();
        Removed { path, bytes, records, first, last, why }
    }
}
