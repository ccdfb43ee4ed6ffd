//! A segment at a glance: where each tenant's frames are, and what of it cannot be read.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::chain::{Lost, LostWhy};
use crate::name;
use crate::split::NODE;
use crate::wal::{Chain, Found, Frame, Header, KeyNote, Kind, Reader, SegmentNote};

/// What a segment holds.
#[derive(Default)]
pub(crate) struct Index {
    /// Its first frame.
    pub(crate) note: Option<SegmentNote>,
    /// When its first frame was written that can be read, nanoseconds since 1970.
    pub(crate) time_ns: u64,
    /// By the number that stands for the tenant.
    pub(crate) owners: BTreeMap<u16, Owner>,
    /// What cannot be read, and whose it was; `_node` where that is not known.
    pub(crate) damaged: Vec<(String, Lost)>,
    /// Where the last frame that counts ends, and its hash.
    pub(crate) end: u64,
    pub(crate) hash: Option<Chain>,
    /// The largest sequence number.
    pub(crate) last: u64,
    /// Bytes behind `end`.
    pub(crate) torn_bytes: u64,
    /// True when the frame that was to be the last one was there.
    pub(crate) is_complete: bool,
}

/// A tenant's share of a segment.
pub(crate) struct Owner {
    pub(crate) note: KeyNote,
    /// Where its frames begin.
    pub(crate) frames: Vec<u64>,
    pub(crate) records: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Index {
    /// Reads a segment up to the frame with hash `until`; to the end where that is not known.
    pub(crate) fn of(path: &Path, number: u64, until: Option<&Chain>) -> io::Result<Self> {
        let mut reader = Reader::open(path)?;
        let mut index = Self { is_complete: until.is_none(), ..Self::default() };
        while let Some(found) = reader.read()? {
            match found {
                Found::Frame(frame) => {
                    index.end = frame.offset + frame.header.frame_bytes();
                    index.hash = Some(frame.hash);
                    index.put(&frame);
                    // A segment none of whose frames was acknowledged is passed over: the next one names a hash that
                    // its first frame names too.
                    if index.is_void(until) {
                        return Ok(Self { torn_bytes: reader.size(), is_complete: true, ..Self::default() });
                    }
                    if until == Some(&frame.hash) {
                        index.is_complete = true;
                        break;
                    }
                }
                Found::Changed(frame) => {
                    index.end = frame.offset + frame.header.frame_bytes();
                    index.hash = Some(frame.hash);
                    index.lose(number, &frame.header);
                }
                Found::Damaged { offset, bytes } => {
                    index.end = offset + bytes;
                    let lost = Lost {
                        segment: number,
                        first: index.last.saturating_add(1),
                        last: 0,
                        records: 0,
                        why: LostWhy::Damaged,
                    };
                    index.damaged.push((NODE.to_owned(), lost));
                }
                Found::Torn { .. } => {}
            }
        }
        index.torn_bytes = reader.size().saturating_sub(index.end);
        index.close_gaps();
        Ok(index)
    }

    fn is_void(&self, until: Option<&Chain>) -> bool {
        let previous = self.note.as_ref().and_then(|note| crate::hex::decode(&note.previous));
        until.is_some() && until == previous.as_ref()
    }

    fn put(&mut self, frame: &Frame) {
        let header = &frame.header;
        if self.time_ns == 0 {
            self.time_ns = header.time_ns;
        }
        match header.kind {
            Kind::Segment => self.note = serde_json::from_slice(&frame.body).ok(),
            Kind::Key => {
                let note: Option<KeyNote> = serde_json::from_slice(&frame.body).ok();
                if let Some(note) = note.filter(|note| name::check(&note.tenant).is_ok()) {
                    let owner = Owner { note, frames: Vec::new(), records: 0, first: 0, last: 0 };
                    self.owners.insert(header.tenant, owner);
                }
            }
            Kind::Records => {
                let last = self.last;
                self.close_last_gap(header.first);
                self.last = last.max(header.last);
                match self.owners.get_mut(&header.tenant) {
                    Some(owner) => owner.put(frame.offset, header),
                    None => self.lose(0, header),
                }
            }
        }
    }

    fn lose(&mut self, number: u64, header: &Header) {
        self.last = self.last.max(header.last);
        let owner = self.owners.get(&header.tenant).map_or(NODE, |owner| owner.note.tenant.as_str());
        let lost = Lost {
            segment: self.note.as_ref().map_or(number, |note| note.segment),
            first: header.first,
            last: header.last,
            records: u64::from(header.records),
            why: LostWhy::Damaged,
        };
        self.damaged.push((owner.to_owned(), lost));
    }

    /// What could not be read ended before this record.
    fn close_last_gap(&mut self, next: u64) {
        if let Some((_, lost)) = self.damaged.last_mut()
            && lost.last == 0
        {
            lost.last = lost.first.max(next.saturating_sub(1));
        }
    }

    fn close_gaps(&mut self) {
        for (_, lost) in &mut self.damaged {
            lost.last = lost.last.max(lost.first);
        }
    }
}

impl Owner {
    fn put(&mut self, offset: u64, header: &Header) {
        if self.frames.is_empty() {
            self.first = header.first;
        }
        self.frames.push(offset);
        self.records += u64::from(header.records);
        self.last = header.last;
    }
}
