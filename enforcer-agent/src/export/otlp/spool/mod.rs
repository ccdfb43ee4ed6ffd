//! Records that wait for a collector, on disk and bounded: what is appended is there after a restart, is handed out in
//! order until it is taken off, and when there is no more room the oldest goes, counted. It knows neither collectors
//! nor what the bytes mean.

mod cipher;
mod frame;
mod place;
mod segment;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub(crate) use cipher::Cipher;
pub(crate) use frame::Batch;

use frame::Header;
use place::Position;
use segment::Segment;

/// Why the spool cannot be used now. What it holds is as it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    /// The file system refuses.
    #[error("cannot {operation} {}: {error}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// A batch that no spool of this size can hold.
    #[error("a batch of {bytes} bytes is more than an eighth of the spool's {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The spool's.
        limit: u64,
    },
    /// The cryptographic library failed.
    #[error("cannot seal a batch")]
    Cipher,
}

impl SpoolError {
    fn io(operation: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), error }
    }
}

/// What was found when the spool was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Records that wait.
    pub(crate) records: u64,
    /// Bytes behind the last whole frame of a segment: a write that was cut off.
    pub(crate) torn_bytes: u64,
    /// The last record that was ever appended: the numbering it belongs to, and its number.
    pub(crate) last: Option<(u64, u64)>,
}

/// The first batch that waits.
#[derive(Debug)]
pub(crate) enum Next {
    /// This one; it stays until it is taken off.
    Batch(u64, Batch),
    /// It was there and is not what was written: it is gone, with so many records.
    Damaged(u64),
    /// Nothing waits.
    Nothing,
}

/// Records on disk.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    cipher: Cipher,
    max_bytes: u64,
    /// Oldest first; the last is written to while [`Self::writer`] is there.
    segments: VecDeque<Segment>,
    writer: Option<File>,
    next_segment: u64,
    position: Position,
    next_id: u64,
    /// Handed out, and not taken off yet: it is never dropped.
    under_way: Option<u64>,
}

impl Spool {
    /// Opens a directory of its own, and makes it if it is not there.
    ///
    /// # Errors
    /// The file system refuses.
    pub(crate) fn open(
        directory: &Path,
        cipher: Cipher,
        max_bytes: u64,
    ) -> Result<(Self, Recovered), SpoolError> {
        place::prepare(directory)?;
        let position = Position::read(directory)?.unwrap_or_default();
        let mut recovered = Recovered { last: position.last(), ..Recovered::default() };
        let (mut segments, mut next_segment, mut next_id) = (VecDeque::new(), 0, position.taken + 1);
        for number in place::segments(directory)? {
            let (segment, scanned) = Segment::scan(directory, number, position.taken)?;
            next_segment = number + 1;
            next_id = next_id.max(scanned.last_id + 1);
            recovered.torn_bytes += scanned.torn_bytes;
            recovered.last = scanned.last.or(recovered.last);
            recovered.records += segment.records();
            if segment.is_empty() {
                segment.remove(directory)?;
            } else {
                segments.push_back(segment);
            }
        }
        let spool = Self {
            directory: directory.to_owned(),
            cipher,
            max_bytes,
            segments,
            writer: None,
            next_segment,
            position,
            next_id,
            under_way: None,
        };
        Ok((spool, recovered))
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Records that wait.
    pub(crate) fn records(&self) -> u64 {
        self.segments.iter().map(Segment::records).sum()
    }

    /// The largest batch that can be appended.
    pub(crate) const fn batch_max_bytes(&self) -> u64 {
        // Eight segments at least, so that dropping the oldest is not dropping everything.
        self.max_bytes / 8
    }

    /// Appends a batch, for which [`Self::make_room`] made room; it survives a loss of power when this returns.
    ///
    /// # Errors
    /// Nothing was appended.
    pub(crate) fn append(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        let header = batch.header(self.next_id, self.cipher.kind());
        let frame = frame::seal(header, &batch.payload, &self.cipher).ok_or(SpoolError::Cipher)?;
        let bytes = length(&frame);
        let writer = match self.writer.take() {
            Some(writer) if self.has_room_in_segment(bytes) => writer,
            Some(_) | None => self.begin()?,
        };
        let Some(segment) = self.segments.back_mut() else { return Err(SpoolError::Cipher) };
        let path = segment.path(&self.directory);
        if let Err(error) = (&writer).write_all(&frame).and_then(|()| writer.sync_data()) {
            // What was written of it must not stand before later frames; a new segment begins in any case.
            let _cut_when_opened = writer.set_len(segment.bytes);
            if segment.is_empty() {
                let segment = self.segments.pop_back();
                let _removed_when_opened = segment.map(|segment| segment.remove(&self.directory));
            }
            return Err(SpoolError::io("write to", &path, error));
        }
        segment.append(header, bytes);
        self.next_id += 1;
        self.writer = Some(writer);
        Ok(())
    }

    /// Drops the oldest records until a batch has room. Says how many went, whether or not that was enough.
    ///
    /// # Errors
    /// The batch is larger than the spool can hold, or the file system refuses.
    pub(crate) fn make_room(&mut self, batch: &Batch) -> (u64, Result<(), SpoolError>) {
        let bytes = frame::sealed_bytes(batch);
        if bytes > self.batch_max_bytes() {
            return (0, Err(SpoolError::TooLarge { bytes, limit: self.max_bytes }));
        }
        let (mut dropped, mut oldest) = (0, 0);
        while self.bytes() + bytes > self.max_bytes && oldest < self.segments.len() {
            if oldest + 1 == self.segments.len() {
                self.writer = None;
            }
            match self.drop_segment(&mut oldest) {
                Ok(records) => dropped += records,
                Err(error) => return (dropped, Err(error)),
            }
        }
        (dropped, Ok(()))
    }

    /// Drops a segment, less the batch that is under way.
    fn drop_segment(&mut self, at: &mut usize) -> Result<u64, SpoolError> {
        let Some(segment) = self.segments.get_mut(*at) else { return Ok(0) };
        match self.under_way.filter(|id| segment.holds(*id)) {
            Some(id) => {
                *at += 1;
                segment.keep_only(&self.directory, id)
            }
            None => {
                let records = segment.records();
                segment.remove(&self.directory)?;
                self.segments.remove(*at);
                Ok(records)
            }
        }
    }

    /// The first batch that waits. It is the same until it is taken off.
    ///
    /// # Errors
    /// It cannot be read just now.
    pub(crate) fn next(&mut self) -> Result<Next, SpoolError> {
        let Some((segment, place)) =
            self.segments.front().and_then(|segment| Some((segment, segment.first()?)))
        else {
            return Ok(Next::Nothing);
        };
        let (id, records) = (place.id, u64::from(place.records));
        match segment.read(&self.directory, place, &self.cipher)? {
            Some(batch) => {
                self.under_way = Some(id);
                Ok(Next::Batch(id, batch))
            }
            None => {
                self.take_off(id)?;
                Ok(Next::Damaged(records))
            }
        }
    }

    /// Takes the first batch off: it was delivered, or never will be.
    ///
    /// # Errors
    /// It may be handed out again after a restart.
    pub(crate) fn take_off(&mut self, id: u64) -> Result<(), SpoolError> {
        self.under_way = None;
        let Some(segment) = self.segments.front_mut() else { return Ok(()) };
        let Some(taken) = segment.take_off(id) else { return Ok(()) };
        self.position.take(&taken);
        let written = self.position.write(&self.directory);
        if segment.is_empty() {
            let segment = self.segments.pop_front();
            if self.segments.is_empty() {
                self.writer = None;
            }
            segment.map_or(Ok(()), |segment| segment.remove(&self.directory))?;
        }
        written
    }

    fn has_room_in_segment(&self, bytes: u64) -> bool {
        self.segments.back().is_some_and(|segment| segment.bytes + bytes <= self.max_bytes / 8)
    }

    fn begin(&mut self) -> Result<File, SpoolError> {
        let segment = Segment::new(self.next_segment);
        let writer = segment.create(&self.directory)?;
        self.next_segment += 1;
        self.segments.push_back(segment);
        Ok(writer)
    }
}

/// As 64 bits, which hold every length.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// What is known of a frame without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placed {
    offset: u64,
    bytes: u64,
    id: u64,
    records: u32,
    run: u64,
    last: u64,
}

impl Placed {
    const fn of(header: Header, offset: u64, bytes: u64) -> Self {
        let Header { id, records, run, last, .. } = header;
        Self { offset, bytes, id, records, run, last }
    }
}
