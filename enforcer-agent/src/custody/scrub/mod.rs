//! Scrubbers: who overwrites a device between two tenants, and what is believed of what they say. A scrub that says it
//! covered less than everything, or that read anything back otherwise than it was written, has failed.

mod child;
mod command;
mod nvidia;
mod overwrite;
mod reader;
mod report;

use enforcer_core::device::custody::DeviceKey;
use enforcer_core::device::custody::receipt::Evidence;
use enforcer_core::device::number::DeviceNumber;

pub use command::{Command, Reset};
pub use nvidia::Nvidia;
pub use overwrite::Overwrite;
pub use reader::{Content, Place, Reader};
pub use report::Report;

/// Everything must be covered, in hundredths.
pub const WHOLE: u8 = 100;

/// What is to be scrubbed.
#[derive(Clone, Debug)]
pub struct Job {
    /// What it is called.
    pub key: DeviceKey,
    /// Its number now.
    pub device: DeviceNumber,
    /// What the pattern is derived from: new for each scrub.
    pub nonce: [u8; 32],
    /// What places are drawn with: kept from the scrubber until it has ended.
    pub seed: [u8; 32],
}

/// How a scrub ended that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes that were overwritten.
    pub bytes_covered: u64,
    /// Bytes that the device has.
    pub bytes_total: u64,
    /// Places that were read back.
    pub samples: u64,
    /// Places that held something else: 0.
    pub mismatches: u64,
    /// The scrubber's own word.
    pub detail: String,
    /// The driver's name for the device; empty when it was not said.
    pub uuid: String,
    /// What it is worth.
    pub evidence: Evidence,
    /// What else was not reached, in sentences.
    pub not_covered: Vec<String>,
}

/// Why a device is not clean.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// It could not be run, or the device not be opened, written or read.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// How it failed.
        error: std::io::Error,
    },
    /// The gate refused the agent itself.
    #[error(
        "{0}: the device gate refused the agent: its own control group must be listed in deviceGate.hostServices"
    )]
    Gated(String),
    /// It did not end in time, and was killed.
    #[error("it did not end within {0} s, and was killed with everything that it had started")]
    Timeout(u64),
    /// It said more than is listened to, and was killed.
    #[error("it printed more than {0} bytes, and was killed")]
    Flood(usize),
    /// It ended badly.
    #[error("it ended with {status}: {tail}")]
    Status {
        /// How.
        status: String,
        /// The last it said.
        tail: String,
    },
    /// Its last line begins like a report and is none.
    #[error("its report is not understood: {0}")]
    Report(String),
    /// It covered less than everything.
    #[error("short: {covered} of {total} bytes were overwritten")]
    Short {
        /// Overwritten.
        covered: u64,
        /// There are.
        total: u64,
    },
    /// Something else was read than was written.
    #[error("{mismatches} of {samples} samples hold something else than was written")]
    Mismatch {
        /// Places that were read.
        samples: u64,
        /// Places that were wrong.
        mismatches: u64,
    },
    /// The device does not keep what is written to it, so that reading back proves nothing.
    #[error("a canary that was written before the scrub could not be read back: reading proves nothing here")]
    Canary,
    /// What was opened is another device.
    #[error("{path} is {found}, not {wanted}")]
    Stranger {
        /// What was opened.
        path: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: String,
    },
}

impl ScrubError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }
}

/// Overwrites devices, and reads them back as far as it can.
#[tonic::async_trait]
pub trait Scrubber: Send + Sync {
    /// For receipts.
    fn method(&self) -> &'static str;

    /// Overwrites, then reads samples back. Whoever drops the future ends everything that was started.
    ///
    /// # Errors
    /// The device is not clean.
    async fn scrub(&self, job: &Job) -> Result<Outcome, ScrubError>;
}

/// What every outcome must hold; at least so many hundredths must be covered.
pub(super) fn checked(mut outcome: Outcome, min_covered: u8) -> Result<Outcome, ScrubError> {
    let Outcome { bytes_covered: covered, bytes_total: total, samples, mismatches, .. } = outcome;
    if mismatches > 0 {
        return Err(ScrubError::Mismatch { samples, mismatches });
    }
    if u128::from(covered) * 100 < u128::from(total) * u128::from(min_covered) {
        return Err(ScrubError::Short { covered, total });
    }
    if covered < total {
        outcome.not_covered.push(format!("{} bytes that were not overwritten", total - covered));
    }
    Ok(outcome)
}
