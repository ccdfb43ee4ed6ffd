//! A tenant's sealed files: each as its line has it, and none besides.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path};

use aws_lc_rs::digest::{Context, SHA256, digest};

use super::chains::Walk;
use super::report::{Finding, Place, VerifyReport, Wrong};
use super::{InLog, VerifyError, VerifyOptions, decode, io_error};
use crate::chain::{self, BLOCK_BYTES, BLOCK_DIGITS, Lines, Sealed, What};
use crate::hex;
use crate::store::{TENANT, names, sequences};

/// Blocks that are read at once.
const BLOCKS_AT_ONCE: usize = 64;

pub(super) fn verify(
    walk: &Walk<'_>,
    log: &InLog,
    options: &VerifyOptions<'_>,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let path = walk.directory.join(chain::NAME);
    for raw in Lines::open(&path).map_err(io_error(&path))?.into_iter().flatten() {
        let Some(line) = raw.map_err(io_error(&path))?.parse() else { continue };
        if let What::Sealed(sealed) = line.what
            && walk.live.get(&sealed.path) == Some(&line.line)
        {
            file(walk, &sealed, options, report)?;
        }
    }
    unlisted(walk, log, report)
}

fn file(
    walk: &Walk<'_>,
    sealed: &Sealed,
    options: &VerifyOptions<'_>,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let subject = Subject { tenant: walk.tenant, sealed };
    if !Path::new(&sealed.path).components().all(|part| matches!(part, Component::Normal(_))) {
        subject.find(
            report,
            Wrong::Changed,
            Place::default(),
            "its line leads out of the tenant's directory",
        );
        return Ok(());
    }
    let path = walk.directory.join(&sealed.path);
    let mut open = match File::open(&path) {
        Ok(open) => open,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if was_removed(walk, sealed)? {
                report.removed_files += 1;
                report.removed_records = report.removed_records.saturating_add(sealed.records);
            } else {
                subject.find(report, Wrong::Missing, Place::default(), "it is not there");
            }
            return Ok(());
        }
        Err(error) => return Err(io_error(&path)(error)),
    };
    report.files += 1;
    report.bytes = report.bytes.saturating_add(sealed.bytes);
    report.records = report.records.saturating_add(sealed.records);
    if subject.compare(&mut open, report).map_err(io_error(&path))?
        && let Some(keys) = options.keys
    {
        decode::file(walk.tenant, open, sealed, keys, report);
    }
    Ok(())
}

/// Retention may have taken it since its line was read.
fn was_removed(walk: &Walk<'_>, sealed: &Sealed) -> Result<bool, VerifyError> {
    let path = walk.directory.join(chain::NAME);
    for raw in Lines::open(&path).map_err(io_error(&path))?.into_iter().flatten() {
        if let Some(What::Removed(removed)) = raw.map_err(io_error(&path))?.parse().map(|line| line.what)
            && removed.path == sealed.path
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file and whose it is.
struct Subject<'a> {
    tenant: &'a str,
    sealed: &'a Sealed,
}

impl Subject<'_> {
    /// Holds the file against its line; true when it is as it was.
    fn compare(&self, file: &mut File, report: &mut VerifyReport) -> io::Result<bool> {
        let size = file.metadata()?.len();
        let before = report.findings.len();
        let left_out = report.findings_left_out;
        let mut all = Context::new(&SHA256);
        let mut changed: Option<(u64, u64)> = None;
        let mut buffer = vec![0; BLOCK_BYTES * BLOCKS_AT_ONCE];
        let mut offset = 0_u64;
        // What is longer than it was is not read to its end.
        let mut input = file.take(self.sealed.bytes);
        loop {
            let read = fill(&mut input, &mut buffer)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            all.update(bytes);
            for block in bytes.chunks(BLOCK_BYTES) {
                let length = u64::try_from(block.len()).unwrap_or(0);
                if self.is_block(offset, block) {
                    self.end_change(changed.take(), report);
                } else {
                    changed = Some((changed.map_or(offset, |(start, _)| start), offset + length));
                }
                offset += length;
            }
        }
        self.end_change(changed, report);
        if size < self.sealed.bytes {
            let place = self.place(size, self.sealed.bytes - size);
            self.find(report, Wrong::Cut, place, "it is shorter than it was");
        } else if size > self.sealed.bytes {
            let place = Place {
                offset: Some(self.sealed.bytes),
                length: Some(size - self.sealed.bytes),
                ..Place::default()
            };
            self.find(report, Wrong::Changed, place, "it is longer than it was");
        }
        let is_same = report.findings.len() == before && report.findings_left_out == left_out;
        if is_same && hex::encode(all.finish().as_ref()) != self.sealed.sha256 {
            self.find(report, Wrong::Changed, Place::default(), "it is not the file that was sealed");
            return Ok(false);
        }
        Ok(is_same)
    }

    fn is_block(&self, offset: u64, block: &[u8]) -> bool {
        let number = usize::try_from(offset).unwrap_or(usize::MAX) / BLOCK_BYTES;
        let at = number.saturating_mul(BLOCK_DIGITS);
        let expected = self.sealed.blocks.get(at..at.saturating_add(BLOCK_DIGITS));
        let found = hex::encode(digest(&SHA256, block).as_ref());
        // The end of a file that was cut is told as such.
        let is_cut =
            block.len() < BLOCK_BYTES && offset + u64::try_from(block.len()).unwrap_or(0) < self.sealed.bytes;
        is_cut || expected == found.get(..BLOCK_DIGITS)
    }

    fn end_change(&self, changed: Option<(u64, u64)>, report: &mut VerifyReport) {
        if let Some((start, end)) = changed {
            let place = self.place(start, end - start);
            self.find(report, Wrong::Changed, place, "these blocks are not what was sealed");
        }
    }

    /// A range of bytes, with the row groups that it touches; behind the last one is the footer.
    fn place(&self, offset: u64, length: u64) -> Place {
        let end = offset.saturating_add(length);
        let groups = self.sealed.row_groups.iter().enumerate();
        let mut touched = groups
            .filter(|(_, group)| group.offset < end && group.offset.saturating_add(group.length) > offset);
        let first = touched.next().map(|(number, _)| number);
        let last = touched.next_back().map(|(number, _)| number).or(first);
        Place { offset: Some(offset), length: Some(length), line: None, row_groups: first.zip(last) }
    }

    fn find(&self, report: &mut VerifyReport, wrong: Wrong, place: Place, detail: &str) {
        let group = |number: usize| self.sealed.row_groups.get(number);
        let touched = place.row_groups.and_then(|(first, last)| group(first).zip(group(last)));
        // Without its footer nothing of a file can be read.
        let sequences =
            touched.map_or((self.sealed.first, self.sealed.last), |(first, last)| (first.first, last.last));
        report.find(Finding {
            tenant: Some(self.tenant.to_owned()),
            file: format!("{TENANT}{}/{}", self.tenant, self.sealed.path),
            place,
            sequences: Some(sequences),
            wrong,
            detail: detail.to_owned(),
        });
    }
}

/// Files that are in no line.
fn unlisted(walk: &Walk<'_>, log: &InLog, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let mut found = BTreeSet::new();
    for hour in names(&walk.directory)? {
        if hour == chain::NAME {
            continue;
        }
        if !walk.directory.join(&hour).is_dir() {
            found.insert(hour);
            continue;
        }
        for name in names(&walk.directory.join(&hour))? {
            let path = format!("{hour}/{name}");
            if !name.starts_with('.') && !walk.live.contains_key(&path) {
                found.insert(path);
            }
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    // They may have got their line since, or been removed.
    let path = walk.directory.join(chain::NAME);
    for raw in Lines::open(&path).map_err(io_error(&path))?.into_iter().flatten() {
        match raw.map_err(io_error(&path))?.parse().map(|line| line.what) {
            Some(What::Sealed(sealed)) if !walk.live.contains_key(&sealed.path) => found.remove(&sealed.path),
            Some(What::Removed(removed)) => found.remove(&removed.path),
            _ => false,
        };
    }
    for name in found {
        let numbers = sequences(&name);
        let is_being_sealed = numbers.is_some_and(|(first, last)| {
            log.get(walk.tenant).is_some_and(|(oldest, newest)| first >= *oldest && last <= *newest)
        });
        let file = format!("{TENANT}{}/{name}", walk.tenant);
        if is_being_sealed {
            report.leave_open(format!(
                "{file}: it is being sealed, or a crash left it; its records are in the log"
            ));
        } else {
            report.find(Finding {
                tenant: Some(walk.tenant.to_owned()),
                file,
                sequences: numbers,
                wrong: Wrong::Unlisted,
                detail: "no line of the chain names it".to_owned(),
                ..Finding::default()
            });
        }
    }
    Ok(())
}

/// Reads until the buffer is full or nothing is left.
fn fill(input: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
