//! What a scrubber says in its last line.

use serde::Deserialize;

use super::ScrubError;

/// Bytes of a scrubber's free words that are kept.
const DETAIL_MAX: usize = 512;
/// Sentences about what was not reached that are kept.
const SENTENCES_MAX: usize = 16;

/// One line of JSON. What is not known is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Bytes that were overwritten.
    pub bytes_covered: u64,
    /// Bytes that the device has.
    pub bytes_total: u64,
    /// Places that were read back.
    #[serde(default)]
    pub samples: u64,
    /// Places that held something else.
    #[serde(default)]
    pub mismatches: u64,
    /// How it was done.
    #[serde(default)]
    pub method: String,
    /// More about it.
    #[serde(default)]
    pub detail: String,
    /// The driver's name for the device.
    #[serde(default)]
    pub uuid: String,
    /// Bytes of `residue_of` that held something before it was overwritten.
    #[serde(default)]
    pub residue: u64,
    /// Bytes that were looked at before.
    #[serde(default)]
    pub residue_of: u64,
    /// Whether the device was reset, in its own words.
    #[serde(default)]
    pub reset: String,
    /// What it did not reach, in sentences.
    #[serde(default)]
    pub not_covered: Vec<String>,
}

impl Report {
    /// From the last line of what was printed; `None` when it is not meant to be a report.
    ///
    /// # Errors
    /// It begins like one and is none.
    pub fn parse(output: &str) -> Result<Option<Self>, ScrubError> {
        let last = output.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        if !last.starts_with('{') {
            return Ok(None);
        }
        let report: Self =
            serde_json::from_str(last).map_err(|error| ScrubError::Report(error.to_string()))?;
        if report.mismatches > report.samples {
            return Err(ScrubError::Report("more mismatches than samples".to_owned()));
        }
        let cut =
            |text: String| text.chars().filter(|c| !c.is_control()).take(DETAIL_MAX).collect::<String>();
        Ok(Some(Self {
            method: cut(report.method),
            detail: cut(report.detail),
            uuid: cut(report.uuid),
            reset: cut(report.reset),
            not_covered: report.not_covered.into_iter().take(SENTENCES_MAX).map(cut).collect(),
            ..report
        }))
    }
}
