//! A line of a chain, as JSON.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex;

/// Bytes of a block of a sealed file that has a hash of its own.
pub const BLOCK_BYTES: usize = 4096;
/// Hexadecimal digits of a block's hash: the first 8 bytes of its SHA-256. They only say where a change is; that there is
/// one, `sha256` says.
pub const BLOCK_DIGITS: usize = 16;

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Its number, from 0.
    pub line: u64,
    /// SHA-256 of the line before, without its newline; of the first: of `enforcer chain` and the tenant's name.
    pub previous: String,
    /// When it was written, nanoseconds since 1970.
    pub time_ns: u64,
    /// What happened.
    pub what: What,
}

/// What a line tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A file was sealed.
    Sealed(Sealed),
    /// A sealed file was removed on purpose.
    Removed(Removed),
    /// Records that had been acknowledged got into no file.
    Lost(Lost),
}

/// A sealed file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sealed {
    /// Under the tenant's directory: "hour=2026-11-28T04/NODE-FIRST-LAST.parquet".
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of all of it.
    pub sha256: String,
    /// For each block of 4 KiB, the last one shorter, 16 hexadecimal digits.
    pub blocks: String,
    /// Where its row groups are.
    pub row_groups: Vec<RowGroup>,
    /// Sequence number of its first record.
    pub first: u64,
    /// Sequence number of its last record.
    pub last: u64,
    /// How many records it has.
    pub records: u64,
    /// Earliest and latest time of a record, nanoseconds since 1970.
    pub first_time_ns: u64,
    /// See `first_time_ns`.
    pub last_time_ns: u64,
    /// The segment of the log that it was made of.
    pub segment: u64,
}

/// A row group of a sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RowGroup {
    /// Where it starts in the file.
    pub offset: u64,
    /// How long it is.
    pub length: u64,
    /// Sequence number of its first record.
    pub first: u64,
    /// Sequence number of its last record.
    pub last: u64,
}

/// A file that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Removed {
    /// As its own line has it.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its records.
    pub records: u64,
    /// Sequence number of its first record.
    pub first: u64,
    /// Sequence number of its last record.
    pub last: u64,
    /// On what account.
    pub why: RemovedWhy,
}

/// Why a file was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedWhy {
    /// Older than traces of its tenant are kept.
    Age,
    /// Its tenant's traces, or all of them, had grown larger than they may.
    Size,
    /// The disk was full.
    DiskFull,
}

impl RemovedWhy {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::DiskFull => "disk_full",
        }
    }
}

/// Records that were in the log and got into no file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lost {
    /// The segment of the log.
    pub segment: u64,
    /// Sequence number of the first.
    pub first: u64,
    /// Sequence number of the last.
    pub last: u64,
    /// How many, as far as that can be said; 0 where it cannot.
    pub records: u64,
    /// On what account.
    pub why: LostWhy,
}

/// Why records got into no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostWhy {
    /// Their tenant's key was destroyed.
    KeyDestroyed,
    /// Their tenant's key was not what it had been, or was gone without having been destroyed.
    KeyWrong,
    /// The log was changed or damaged after they had been written.
    Damaged,
    /// The log was shorter than the last checkpoint said.
    Cut,
    /// The chain was not the one that the agent had signed, or there was nothing that it had signed: nobody knows whether
    /// something is missing.
    Unsigned,
    /// The disk was full for so long that the log had to go.
    StoreFull,
}

impl LostWhy {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyDestroyed => "key_destroyed",
            Self::KeyWrong => "key_wrong",
            Self::Damaged => "damaged",
            Self::Cut => "cut",
            Self::Unsigned => "unsigned",
            Self::StoreFull => "store_full",
        }
    }
}

impl Line {
    /// The `previous` of a tenant's first line.
    #[must_use]
    pub fn start(tenant: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(b"enforcer chain\0");
        hash.update(tenant.as_bytes());
        hex::encode(&hash.finalize())
    }

    /// Its hash, of the bytes without newline.
    #[must_use]
    pub fn hash(bytes: &[u8]) -> String {
        hex::encode(&Sha256::digest(bytes))
    }
}

impl Sealed {
    /// How many blocks a file of this size has.
    #[must_use]
    pub const fn block_count(bytes: u64) -> u64 {
        bytes.div_ceil(BLOCK_BYTES as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Sealed {
        Sealed {
            path: "hour=2026-11-28T04/n-1-9.parquet".to_owned(),
            bytes: 9000,
            sha256: "00".repeat(32),
            blocks: "0123456789abcdef".repeat(3),
            row_groups: vec![RowGroup { offset: 4, length: 8000, first: 1, last: 9 }],
            first: 1,
            last: 9,
            records: 9,
            first_time_ns: u64::MAX,
            last_time_ns: 3,
            segment: 1,
        }
    }

    #[test]
    fn a_line_comes_back_from_its_json() {
        let removed = Removed {
            path: sealed().path,
            bytes: 1,
            records: 2,
            first: 3,
            last: 4,
            why: RemovedWhy::DiskFull,
        };
        let lost = Lost { segment: 1, first: 2, last: 3, records: 4, why: LostWhy::KeyDestroyed };
        for what in [What::Sealed(sealed()), What::Removed(removed), What::Lost(lost)] {
            let line = Line { line: 7, previous: Line::start("red"), time_ns: 5, what };
            let json = serde_json::to_string(&line).unwrap();
            assert!(!json.contains('\n'));
            assert_eq!(serde_json::from_str::<Line>(&json).unwrap(), line);
        }
        assert_eq!(Sealed::block_count(sealed().bytes), 3);
    }

    #[test]
    fn tenants_have_different_beginnings_and_an_unknown_field_is_no_line() {
        assert_ne!(Line::start("red"), Line::start("blue"));
        assert!(serde_json::from_str::<Line>(r#"{"line":0,"previous":"","time_ns":1,"what":{}}"#).is_err());
    }
}
