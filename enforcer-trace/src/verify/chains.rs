//! A tenant's chain: every line in its place, up to where it is signed for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::report::{Finding, Place, VerifyReport, Wrong};
use super::trust::Trust;
use super::{InLog, VerifyError, VerifyOptions, files, io_error};
use crate::chain::{self, Line, Lines, Lost, LostWhy, RawLine, Sealed, What};
use crate::checkpoint::ChainPosition;
use crate::store::{TENANT, tenant_directory};

/// A chain while it is read.
pub(super) struct Walk<'a> {
    pub(super) tenant: &'a str,
    pub(super) directory: PathBuf,
    /// The chain's name under the store's directory.
    file: String,
    /// What the next line should say.
    next: u64,
    previous: String,
    last: Option<Last>,
    /// Positions that were signed for, and whether each was met.
    signed: Vec<(ChainPosition, Wrong)>,
    /// Sealed files that are not removed: path, and the number of the line.
    pub(super) live: BTreeMap<String, u64>,
    /// The last record that is in a file.
    sealed_to: u64,
}

/// The line before.
struct Last {
    offset: u64,
    length: u64,
    number: u64,
    sequences: Option<(u64, u64)>,
    is_found: bool,
}

pub(super) fn verify(
    directory: &Path,
    tenant: &str,
    trust: &Trust,
    log: &InLog,
    options: &VerifyOptions<'_>,
    report: &mut VerifyReport,
) -> Result<(), VerifyError> {
    let mut walk = Walk::new(directory, tenant, trust);
    let path = walk.directory.join(chain::NAME);
    let lines = Lines::open(&path).map_err(io_error(&path))?;
    let is_there = lines.is_some();
    for raw in lines.into_iter().flatten() {
        walk.line(&raw.map_err(io_error(&path))?, report);
    }
    walk.end(trust, report);
    report.tenants += u64::from(is_there);
    files::verify(&walk, log, options, report)
}

impl<'a> Walk<'a> {
    fn new(directory: &Path, tenant: &'a str, trust: &Trust) -> Self {
        let position = |body: &Option<crate::checkpoint::Body>, wrong| {
            let position = body.as_ref()?.chains.get(tenant)?;
            Some((position.clone(), wrong))
        };
        let signed = [position(&trust.anchor, Wrong::RolledBack), position(&trust.body, Wrong::Cut)];
        Self {
            tenant,
            directory: tenant_directory(directory, tenant),
            file: format!("{TENANT}{tenant}/{}", chain::NAME),
            next: 0,
            previous: Line::start(tenant),
            last: None,
            signed: signed.into_iter().flatten().collect(),
            live: BTreeMap::new(),
            sealed_to: 0,
        }
    }

    fn line(&mut self, raw: &RawLine, report: &mut VerifyReport) {
        let length = u64::try_from(raw.bytes.len()).unwrap_or(u64::MAX);
        if !raw.whole {
            report.torn_bytes += length;
            return;
        }
        report.lines += 1;
        let mut last =
            Last { offset: raw.offset, length, number: self.next, sequences: None, is_found: false };
        match raw.parse() {
            Some(line) => {
                last.is_found = self.compare(&line, &last, report);
                last.number = line.line;
                last.sequences = sequences(&line.what);
                self.take(line.what, &last, report);
            }
            None => {
                last.is_found = true;
                self.find(report, &last, Wrong::Changed, "it is no line of a chain".to_owned());
            }
        }
        self.next = last.number.saturating_add(1);
        self.previous = Line::hash(&raw.bytes);
        self.last = Some(last);
        self.meet(report);
    }

    /// True when something was found in this line.
    fn compare(&mut self, line: &Line, at: &Last, report: &mut VerifyReport) -> bool {
        if line.line > self.next {
            let detail = format!("lines {} to {} are not there", self.next, line.line - 1);
            self.find(report, at, Wrong::Missing, detail);
            return true;
        }
        if line.line < self.next {
            let detail = format!("it is line {} and stands where line {} should", line.line, self.next);
            self.find(report, at, Wrong::OutOfOrder, detail);
            return true;
        }
        if line.previous == self.previous {
            return false;
        }
        // This line is bound to another one than the one before it.
        match self.last.take() {
            Some(before) if !before.is_found => {
                let detail = "the line after it is bound to another one".to_owned();
                self.find(report, &before, Wrong::Changed, detail);
            }
            Some(_) => {}
            None => self.find(report, at, Wrong::Changed, "it is bound to a line before it".to_owned()),
        }
        false
    }

    fn take(&mut self, what: What, at: &Last, report: &mut VerifyReport) {
        match what {
            What::Sealed(sealed) => {
                if sealed.first <= self.sealed_to && self.sealed_to != 0 {
                    let detail = format!("its records come after record {}", self.sealed_to);
                    self.find(report, at, Wrong::OutOfOrder, detail);
                }
                self.sealed_to = self.sealed_to.max(sealed.last);
                self.live.insert(sealed.path, at.number);
            }
            What::Removed(removed) => {
                report.removed_files += 1;
                report.removed_records = report.removed_records.saturating_add(removed.records);
                self.live.remove(&removed.path);
            }
            What::Lost(lost) => self.lost(&lost, at, report),
        }
    }

    /// What the agent itself found to be gone stays to be seen.
    fn lost(&self, lost: &Lost, at: &Last, report: &mut VerifyReport) {
        let (wrong, what) = match lost.why {
            LostWhy::KeyDestroyed | LostWhy::StoreFull => {
                report.lost_records = report.lost_records.saturating_add(lost.records);
                return;
            }
            LostWhy::KeyWrong => (Wrong::Unreadable, "could not be opened with the keys of the time"),
            LostWhy::Damaged => (Wrong::Changed, "had been changed or damaged in the log"),
            LostWhy::Cut => (Wrong::Cut, "had been cut off the log"),
            LostWhy::Unsigned => {
                let detail = "the agent found that what was there was not what it had signed, or that it had signed nothing";
                self.find(report, at, Wrong::Unsigned, detail.to_owned());
                return;
            }
        };
        let detail =
            format!("{} records of segment {} {what}, as the agent found", lost.records, lost.segment);
        self.find(report, at, wrong, detail);
    }

    /// Compares with what was signed for at this line.
    fn meet(&mut self, report: &mut VerifyReport) {
        let Some(last) = &self.last else { return };
        let (met, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.signed)
            .into_iter()
            .partition(|(position, _)| position.lines <= self.next);
        self.signed = open;
        let mut wrong: Vec<_> = met
            .into_iter()
            .filter(|(position, _)| position.lines == self.next && position.head != self.previous)
            .map(|(_, wrong)| wrong)
            .collect();
        wrong.truncate(usize::from(!last.is_found));
        let is_wrong = !wrong.is_empty();
        for wrong in wrong {
            let (wrong, detail) = match wrong {
                Wrong::RolledBack => (wrong, "the checkpoint that was kept elsewhere has another line here"),
                _ => (Wrong::Changed, "the checkpoint has another line here"),
            };
            self.find(report, last, wrong, detail.to_owned());
        }
        if let Some(last) = &mut self.last {
            last.is_found |= is_wrong;
        }
    }

    fn end(&mut self, trust: &Trust, report: &mut VerifyReport) {
        for (position, wrong) in std::mem::take(&mut self.signed) {
            let detail = format!("{} lines were signed for, and {} are there", position.lines, self.next);
            let place = Place { line: Some(self.next), offset: Some(self.end_offset()), ..Place::default() };
            let sequences = None;
            let (tenant, file) = (Some(self.tenant.to_owned()), self.file.clone());
            report.find(Finding { tenant, file, place, sequences, wrong, detail });
        }
        let signed = trust.body.as_ref().and_then(|body| body.chains.get(self.tenant));
        report.unsigned_lines += self.next.saturating_sub(signed.map_or(0, |position| position.lines));
    }

    fn end_offset(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.offset + last.length + 1)
    }

    fn find(&self, report: &mut VerifyReport, at: &Last, wrong: Wrong, detail: String) {
        let place = Place {
            offset: Some(at.offset),
            length: Some(at.length),
            line: Some(at.number),
            ..Place::default()
        };
        report.find(Finding {
            tenant: Some(self.tenant.to_owned()),
            file: self.file.clone(),
            place,
            sequences: at.sequences,
            wrong,
            detail,
        });
    }
}

fn sequences(what: &What) -> Option<(u64, u64)> {
    match what {
        What::Sealed(Sealed { first, last, .. }) => Some((*first, *last)),
        What::Removed(removed) => Some((removed.first, removed.last)),
        What::Lost(lost) => Some((lost.first, lost.last)),
    }
}
