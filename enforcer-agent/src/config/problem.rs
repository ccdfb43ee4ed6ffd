//! What can be wrong with a configuration, each with the word that is wrong.

use std::net::AddrParseError;
use std::path::PathBuf;

use enforcer_core::identity::spiffe_id::SpiffeIdError;

/// One thing wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The file could not be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file is larger than any configuration is.
    #[error("{path} has {bytes} bytes, and at most {limit} are read")]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// The file is not what it should be; with its line.
    #[error("{path}:{line}: {error}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        error: serde_norway::Error,
    },
    /// A word that is needed is missing.
    #[error("{path} is missing: {hint}")]
    Missing {
        /// Where it belongs.
        path: String,
        /// What to write.
        hint: &'static str,
    },
    /// A word that is none of the known ones.
    #[error("{path} is {value:?}, and can be {expected}")]
    Word {
        /// Where.
        path: String,
        /// What was written.
        value: String,
        /// What is known.
        expected: &'static str,
    },
    /// A number outside its range.
    #[error("{path} is {value}, and can be {low} to {high}")]
    Range {
        /// Where.
        path: String,
        /// What was written.
        value: u64,
        /// Smallest.
        low: u64,
        /// Largest.
        high: u64,
    },
    /// A path that must be absolute and is not.
    #[error("{path} is {value}, which is not absolute")]
    Relative {
        /// Where.
        path: String,
        /// What was written.
        value: PathBuf,
    },
    /// A list that must name someone and is empty.
    #[error("{path} is empty: {hint}")]
    Empty {
        /// Where.
        path: String,
        /// What to write.
        hint: &'static str,
    },
    /// The same name twice.
    #[error("{path} names {value:?} twice")]
    Duplicate {
        /// Where.
        path: String,
        /// The name.
        value: String,
    },
    /// The tag does not fit its mask.
    #[error("tag: a mask of {mask:#010x} with a shift of {shift} leaves no run of bits for a tenant number")]
    Tag {
        /// The mask.
        mask: u32,
        /// The shift.
        shift: u32,
    },
    /// No address.
    #[error("{path} is {value:?}: {error}")]
    Address {
        /// Where.
        path: String,
        /// What was written.
        value: String,
        /// Why it is none.
        error: AddrParseError,
    },
    /// No SPIFFE ID, or no trust domain.
    #[error("{path} is {value:?}: {error}")]
    SpiffeId {
        /// Where.
        path: String,
        /// What was written.
        value: String,
        /// Which rule it breaks.
        error: SpiffeIdError,
    },
    /// Several words of which one is wanted.
    #[error("{path} needs exactly one of {choices}")]
    OneOf {
        /// Where.
        path: String,
        /// The words.
        choices: &'static str,
    },
    /// The node has no name and none was given.
    #[error("nodeName is missing, and the host name cannot be used: {0}")]
    HostName(String),
    /// No cgroup2 mount was found and none was given.
    #[error("cgroupRoot is missing, and no cgroup2 mount was found in /proc/self/mountinfo")]
    NoCgroupMount,
}
