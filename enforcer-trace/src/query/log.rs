//! The log: which frames hold what, and their records, one frame at a time. Its file is opened before any chain is
//! read: what is sealed and removed meanwhile can still be read here.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use enforcer_proto::v1;

use super::gap::{Gap, cause};
use crate::keys::{KeyError, Keys};
use crate::wal::{self, Found, Frame, HEADER_BYTES, KeyNote, Kind, OpenError, Opener};

/// The frames of the log, without their contents.
pub(super) struct Log {
    pub(super) frames: Vec<FrameSource>,
    pub(super) gaps: Vec<Gap>,
}

impl Log {
    /// Goes through every segment. `wants` says whose frames matter, between which numbers.
    pub(super) fn read(
        store: &Path,
        keys: &Arc<dyn Keys>,
        wants: impl Fn(&str, u64, u64) -> bool,
    ) -> io::Result<Self> {
        let directory = store.join(wal::DIRECTORY);
        let mut log = Self { frames: Vec::new(), gaps: Vec::new() };
        for number in wal::list(&directory)? {
            let path = wal::path(&directory, number);
            // Sealed and removed since it was listed: the chains, which are read later, have it.
            let opened = match File::open(&path).and_then(|file| Ok((file, wal::Reader::open(&path)?))) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            log.segment(number, opened, keys, &wants)?;
        }
        Ok(log)
    }

    fn segment(
        &mut self,
        number: u64,
        (file, mut reader): (File, wal::Reader),
        keys: &Arc<dyn Keys>,
        wants: &impl Fn(&str, u64, u64) -> bool,
    ) -> io::Result<()> {
        let segment = Arc::new(Segment { number, file, keys: Arc::clone(keys) });
        let mut notes: HashMap<u16, Arc<KeyNote>> = HashMap::new();
        let mut reached = (0, 0);
        while let Some(found) = reader.read()? {
            match found {
                Found::Frame(frame) | Found::Changed(frame) => match frame.header.kind {
                    Kind::Segment => {}
                    Kind::Key => notes.extend(note(&frame)),
                    Kind::Records => {
                        reached = (reached.0.max(frame.header.last), frame.header.time_ns);
                        self.frame(&segment, frame, &notes, wants);
                    }
                },
                Found::Damaged { offset, bytes } => self.gaps.push(segment.damaged(offset, bytes, reached)),
                // Being written just now, or never acknowledged.
                Found::Torn { .. } => {}
            }
        }
        Ok(())
    }

    fn frame(
        &mut self,
        segment: &Arc<Segment>,
        frame: Frame,
        notes: &HashMap<u16, Arc<KeyNote>>,
        wants: &impl Fn(&str, u64, u64) -> bool,
    ) {
        let header = frame.header;
        let Some(note) = notes.get(&header.tenant) else {
            let message = format!("the frame at byte {}: the key frame of its tenant is gone", frame.offset);
            self.gaps.push(segment.gap(&frame, String::new(), "damaged", message));
            return;
        };
        if wants(&note.tenant, header.first, header.last) {
            let frame = Frame { body: Vec::new(), ..frame };
            self.frames.push(FrameSource { segment: Arc::clone(segment), note: Arc::clone(note), frame });
        }
    }
}

fn note(frame: &Frame) -> Option<(u16, Arc<KeyNote>)> {
    let note: KeyNote = serde_json::from_slice(&frame.body).ok()?;
    Some((note.index, Arc::new(note)))
}

struct Segment {
    number: u64,
    file: File,
    keys: Arc<dyn Keys>,
}

impl Segment {
    fn name(&self) -> String {
        format!("segment {}", self.number)
    }

    fn damaged(&self, offset: u64, bytes: u64, (after, time_ns): (u64, u64)) -> Gap {
        Gap {
            tenant: String::new(),
            cause: "damaged",
            first: after,
            last: u64::MAX,
            records: 0,
            time_ns,
            subject: self.name(),
            message: format!("{bytes} bytes from byte {offset} on are no frames of the log"),
        }
    }

    fn gap(&self, frame: &Frame, tenant: String, cause: &'static str, message: String) -> Gap {
        Gap {
            tenant,
            cause,
            first: frame.header.first,
            last: frame.header.last,
            records: u64::from(frame.header.records),
            time_ns: frame.header.time_ns,
            subject: self.name(),
            message,
        }
    }
}

/// A frame of one tenant.
pub(super) struct FrameSource {
    segment: Arc<Segment>,
    note: Arc<KeyNote>,
    frame: Frame,
}

impl FrameSource {
    pub(super) fn tenant(&self) -> &str {
        &self.note.tenant
    }

    /// The segment, and the first and last number.
    pub(super) fn place(&self) -> (u64, u64, u64) {
        (self.segment.number, self.frame.header.first, self.frame.header.last)
    }

    /// Its records, or what is missing.
    pub(super) fn open(mut self) -> Result<Vec<v1::Record>, Gap> {
        let length = usize::try_from(self.frame.header.length).unwrap_or(0);
        let start = self.frame.offset + u64::try_from(HEADER_BYTES).unwrap_or(0);
        self.frame.body = vec![0; length];
        if let Err(error) = self.segment.file.read_exact_at(&mut self.frame.body, start) {
            return Err(self.missing("unreadable", error.to_string()));
        }
        let opener = Opener::new(&self.note, &*self.segment.keys);
        match opener.map_err(OpenError::Key).and_then(|opener| opener.open(&self.frame)) {
            Ok(records) => Ok(records),
            Err(OpenError::Key(error)) => Err(self.missing(key_cause(&error), error.to_string())),
            Err(error @ OpenError::Contents(_)) => Err(self.missing("damaged", error.to_string())),
        }
    }

    fn missing(&self, cause: &'static str, message: String) -> Gap {
        self.segment.gap(&self.frame, self.tenant().to_owned(), cause, message)
    }
}

/// A frame's place is part of what it was sealed with: changed bytes look as another key does.
const fn key_cause(error: &KeyError) -> &'static str {
    match error {
        KeyError::Wrong(_) => "damaged",
        other => cause(other),
    }
}

/// Which parts of the log the chains have told of already, as a file or as a loss.
#[derive(Default)]
pub(super) struct Settled(BTreeMap<(String, u64), Vec<(u64, u64)>>);

impl Settled {
    pub(super) fn note(&mut self, tenant: &str, segment: u64, first: u64, last: u64) {
        self.0.entry((tenant.to_owned(), segment)).or_default().push((first, last));
    }

    /// True when one line has all of the frame.
    pub(super) fn holds(&self, frame: &FrameSource) -> bool {
        let (segment, first, last) = frame.place();
        let ranges = self.0.get(&(frame.tenant().to_owned(), segment));
        ranges.is_some_and(|ranges| ranges.iter().any(|range| range.0 <= first && last <= range.1))
    }
}
