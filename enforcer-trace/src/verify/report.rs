//! What a verification found.

use std::fmt;

/// Findings that are listed; more are counted.
const FINDINGS_MAX: usize = 1000;

/// The outcome. Nothing is wrong when `findings` is empty; `unchecked` says what that does not cover.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Tenants with a chain, `_node` among them.
    pub tenants: u64,
    /// Lines of chains.
    pub lines: u64,
    /// Of these, lines that were written after the checkpoint: nothing is signed for them yet.
    pub unsigned_lines: u64,
    /// Sealed files that are there.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their records, as their lines say.
    pub records: u64,
    /// Files that were removed on purpose, and their records.
    pub removed_files: u64,
    /// See `removed_files`.
    pub removed_records: u64,
    /// Records that got into no file, for a reason that is no damage: a destroyed key, a full disk.
    pub lost_records: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Records in them, as their headers say.
    pub log_records: u64,
    /// Bytes of the log and of chains that a crash left unfinished, or that are being written.
    pub torn_bytes: u64,
    /// Records that were opened and read, where keys were at hand.
    pub decoded: u64,
    /// True when an agent has the store open.
    pub is_live: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub findings_left_out: u64,
    /// Sentences: what could not be checked, and why.
    pub unchecked: Vec<String>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// Whose, where that is known; `_node` for what belongs to no tenant.
    pub tenant: Option<String>,
    /// Which file, under the store's directory.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// First and last sequence number concerned, where they are known.
    pub sequences: Option<(u64, u64)>,
    /// What is wrong.
    pub wrong: Wrong,
    /// A sentence.
    pub detail: String,
}

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// First byte concerned.
    pub offset: Option<u64>,
    /// How many bytes.
    pub length: Option<u64>,
    /// Number of the line, from 0.
    pub line: Option<u64>,
    /// First and last row group, from 0.
    pub row_groups: Option<(usize, usize)>,
}

/// In what way something is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    /// Its bytes are not those that were written.
    #[default]
    Changed,
    /// It is not there.
    Missing,
    /// Its end is not there.
    Cut,
    /// It is not where it was written.
    OutOfOrder,
    /// The signature is missing, or by another key.
    Unsigned,
    /// It is there, and nobody wrote it down.
    Unlisted,
    /// It is older than a checkpoint that was kept elsewhere.
    RolledBack,
    /// Its bytes are right, and it cannot be read with the keys at hand.
    Unreadable,
}

impl Wrong {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Cut => "cut",
            Self::OutOfOrder => "out of order",
            Self::Unsigned => "unsigned",
            Self::Unlisted => "unlisted",
            Self::RolledBack => "rolled back",
            Self::Unreadable => "unreadable",
        }
    }
}

impl VerifyReport {
    pub(super) fn find(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.findings_left_out += 1;
        }
    }

    pub(super) fn leave_open(&mut self, sentence: String) {
        if self.unchecked.len() < FINDINGS_MAX {
            self.unchecked.push(sentence);
        }
    }

    /// True when nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.wrong.name())?;
        if let Some(line) = self.place.line {
            write!(f, ", line {line}")?;
        }
        match (self.place.offset, self.place.length) {
            (Some(offset), Some(length)) => {
                write!(f, ", bytes {offset} to {}", offset.saturating_add(length))?
            }
            (Some(offset), None) => write!(f, ", byte {offset}")?,
            (None, _) => {}
        }
        if let Some((first, last)) = self.place.row_groups {
            write!(f, ", row groups {first} to {last}")?;
        }
        if let Some((first, last)) = self.sequences {
            write!(f, ", records {first} to {last}")?;
        }
        if let Some(tenant) = &self.tenant {
            write!(f, ", of {tenant}")?;
        }
        write!(f, ": {}", self.detail)
    }
}
