//! The log: every frame in its place, up to where it is signed for.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::report::{Finding, Place, VerifyReport, Wrong};
use super::trust::{self, Trust};
use super::{InLog, VerifyError, VerifyOptions, decode, io_error};
use crate::checkpoint::LogPosition;
use crate::hex;
use crate::split::NODE;
use crate::wal::{self, Chain, Found, Frame, Header, KeyNote, Kind, Reader};

pub(super) fn verify(
    directory: &Path,
    trust: &Trust,
    options: &VerifyOptions<'_>,
    report: &mut VerifyReport,
) -> Result<InLog, VerifyError> {
    let log = directory.join(wal::DIRECTORY);
    let numbers = wal::list(&log).map_err(io_error(&log))?;
    let mut known = InLog::new();
    let position = trust.body.as_ref().map(|body| &body.log);
    missing(directory, position, &numbers, report);
    let oldest = position.map_or(0, |position| position.oldest);
    for (at, number) in numbers.iter().enumerate().filter(|(_, number)| **number >= oldest) {
        let until = match numbers.get(at + 1) {
            Some(next) => wal::previous(&wal::path(&log, *next)).map_err(io_error(&log))?,
            None => None,
        };
        let path = wal::path(&log, *number);
        let reader = match Reader::open(&path) {
            Ok(reader) => reader,
            // Sealed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(&path)(error)),
        };
        let mut segment = Segment::new(*number, path, until, trust);
        segment.read(reader, options, report, &mut known)?;
        segment.end(report);
        report.segments += 1;
    }
    for path in wal::set_aside(&log).map_err(io_error(&log))? {
        report.leave_open(format!(
            "{}: the agent set it aside; what it could not seal of it is among the findings",
            name_of(&path)
        ));
    }
    Ok(known)
}

/// Segments that should be there.
fn missing(directory: &Path, position: Option<&LogPosition>, numbers: &[u64], report: &mut VerifyReport) {
    let Some(position) = position else { return };
    let absent =
        |oldest: u64| (oldest..=position.segment).find(|number| numbers.binary_search(number).is_err());
    let Some(mut first) = absent(position.oldest) else { return };
    // They may have been sealed since the checkpoint was read.
    if let Some(body) = trust::reread(directory) {
        match absent(body.log.oldest.max(position.oldest)) {
            Some(still) => first = still,
            None => return,
        }
    }
    report.find(Finding {
        file: name_of(&wal::path(Path::new(""), first)),
        wrong: Wrong::Missing,
        detail: format!("segments {} to {} of the log are not sealed", position.oldest, position.segment),
        ..Finding::default()
    });
}

fn name_of(path: &Path) -> String {
    format!("{}/{}", wal::DIRECTORY, path.file_name().unwrap_or_default().to_string_lossy())
}

/// A segment while it is read.
struct Segment {
    number: u64,
    path: PathBuf,
    /// The frame that the next segment says was the last.
    until: Option<Chain>,
    is_met: bool,
    /// Places that were signed for: where, the hash there, and what it is when another is there.
    signed: Vec<(u64, Chain, Wrong)>,
    /// Where what was signed for ends: a crash cannot have torn what lies before.
    signed_bytes: u64,
    end: u64,
    torn: Option<(u64, u64, Option<Header>)>,
    owners: BTreeMap<u16, String>,
    last: u64,
}

impl Segment {
    fn new(number: u64, path: PathBuf, until: Option<Chain>, trust: &Trust) -> Self {
        let position = |body: &Option<crate::checkpoint::Body>, wrong| {
            let log = &body.as_ref().filter(|body| body.log.segment == number)?.log;
            Some((log.bytes, hex::decode(&log.hash)?, wrong))
        };
        let signed: Vec<_> = [position(&trust.anchor, Wrong::RolledBack), position(&trust.body, Wrong::Cut)]
            .into_iter()
            .flatten()
            .collect();
        let signed_bytes = signed.iter().map(|(bytes, ..)| *bytes).max().unwrap_or(0);
        Self {
            number,
            path,
            until,
            is_met: false,
            signed,
            signed_bytes,
            end: 0,
            torn: None,
            owners: BTreeMap::new(),
            last: 0,
        }
    }

    fn read(
        &mut self,
        mut reader: Reader,
        options: &VerifyOptions<'_>,
        report: &mut VerifyReport,
        known: &mut InLog,
    ) -> Result<(), VerifyError> {
        let path = self.path.clone();
        let mut decoder = options.keys.map(decode::Frames::new);
        if self.is_void()? {
            report.torn_bytes += reader.size();
            self.is_met = true;
            return Ok(());
        }
        while let Some(found) = reader.read().map_err(io_error(&path))? {
            match found {
                Found::Frame(frame) => {
                    report.frames += 1;
                    self.frame(&frame, report, known);
                    if let Some(decoder) = &mut decoder {
                        decoder.frame(&name_of(&path), &frame, report);
                    }
                    if self.until == Some(frame.hash) {
                        self.is_met = true;
                        break;
                    }
                }
                Found::Changed(frame) => self.changed(&frame, report),
                Found::Damaged { offset, bytes } => {
                    self.end = offset + bytes;
                    self.find(
                        report,
                        Wrong::Changed,
                        (offset, Some(bytes)),
                        None,
                        "these bytes are no frame",
                    );
                }
                Found::Torn { offset, bytes, header } => self.torn = Some((offset, bytes, header)),
            }
        }
        if self.torn.is_none() {
            report.torn_bytes += reader.size().saturating_sub(self.end);
        }
        Ok(())
    }

    /// None of its frames was acknowledged: the next segment goes on where this one began.
    fn is_void(&self) -> Result<bool, VerifyError> {
        let own = wal::previous(&self.path).map_err(io_error(&self.path))?;
        Ok(self.until.is_some() && own == self.until && self.signed.is_empty())
    }

    fn frame(&mut self, frame: &Frame, report: &mut VerifyReport, known: &mut InLog) {
        let header = &frame.header;
        self.end = frame.offset + header.frame_bytes();
        for (_, hash, wrong) in
            self.signed.extract_if(.., |(bytes, ..)| *bytes == self.end).collect::<Vec<_>>()
        {
            if hash != frame.hash {
                let wrong = if wrong == Wrong::RolledBack { wrong } else { Wrong::Changed };
                self.find(
                    report,
                    wrong,
                    self.place(frame),
                    Some(header),
                    "the checkpoint has another frame here",
                );
            }
        }
        match header.kind {
            Kind::Segment => {}
            Kind::Key => {
                if let Ok(note) = serde_json::from_slice::<KeyNote>(&frame.body) {
                    self.owners.insert(header.tenant, note.tenant);
                }
            }
            Kind::Records => {
                report.log_records += u64::from(header.records);
                self.last = self.last.max(header.last);
                if let Some(owner) = self.owners.get(&header.tenant) {
                    let range = known.entry(owner.clone()).or_insert((header.first, header.last));
                    if header.first < range.1 && range.0 != header.first {
                        let detail = "its records come before those of the frame before it";
                        self.find(report, Wrong::OutOfOrder, self.place(frame), Some(header), detail);
                    }
                    range.1 = range.1.max(header.last);
                }
            }
        }
    }

    fn changed(&mut self, frame: &Frame, report: &mut VerifyReport) {
        self.end = frame.offset + frame.header.frame_bytes();
        let detail = match frame.header.kind {
            Kind::Segment => "the first frame of a segment is not what was written",
            Kind::Key => "a tenant's key in this segment is not what was written",
            Kind::Records => "a frame of records is not what was written",
        };
        self.signed.retain(|(bytes, ..)| *bytes != self.end);
        let header = Some(&frame.header).filter(|header| header.kind == Kind::Records);
        self.find(report, Wrong::Changed, self.place(frame), header, detail);
    }

    fn place(&self, frame: &Frame) -> (u64, Option<u64>) {
        (frame.offset, Some(frame.header.frame_bytes()))
    }

    fn end(&mut self, report: &mut VerifyReport) {
        let is_cut = self.signed.iter().any(|(bytes, ..)| *bytes > self.end);
        if let Some((offset, bytes, header)) = self.torn {
            if is_cut || (self.until.is_some() && !self.is_met) {
                let detail = "the segment ends within a frame that had been acknowledged";
                self.find(report, Wrong::Cut, (offset, Some(bytes)), header.as_ref(), detail);
                return;
            }
            report.torn_bytes += bytes;
        }
        if is_cut {
            let detail = format!("{} bytes were signed for, and {} are there", self.signed_bytes, self.end);
            self.find(report, Wrong::Cut, (self.end, None), None, &detail);
        } else if self.until.is_some() && !self.is_met {
            let detail = "the segment ends before the frame that the next one goes on from";
            self.find(report, Wrong::Cut, (self.end, None), None, detail);
        } else if let Some((bytes, ..)) = self.signed.first() {
            let detail = "the checkpoint has the end of a frame here";
            self.find(report, Wrong::Changed, (*bytes, None), None, detail);
        }
    }

    fn find(
        &self,
        report: &mut VerifyReport,
        wrong: Wrong,
        (offset, length): (u64, Option<u64>),
        header: Option<&Header>,
        detail: &str,
    ) {
        let owner = header.and_then(|header| self.owners.get(&header.tenant).cloned());
        let sequences = header.map(|header| (header.first, header.last)).filter(|(first, _)| *first > 0);
        report.find(Finding {
            tenant: owner.or_else(|| header.map(|_| NODE.to_owned())),
            file: name_of(&self.path),
            place: Place { offset: Some(offset), length, ..Place::default() },
            sequences: sequences
                .or_else(|| (wrong == Wrong::Cut).then_some((self.last.saturating_add(1), u64::MAX))),
            wrong,
            detail: format!("segment {}: {detail}", self.number),
        });
    }
}
