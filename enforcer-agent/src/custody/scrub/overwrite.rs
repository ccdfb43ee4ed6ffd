//! The built-in one, for devices that can be read and written as files: a pattern over the whole length, and back.

use std::os::unix::fs::FileExt as _;

use enforcer_core::device::custody::receipt::Evidence;
use tokio::task::spawn_blocking;

use super::reader::{BLOCK, Content, Reader, extent, unless_unsupported};
use super::{Job, Outcome, ScrubError, Scrubber, WHOLE, checked};

/// Overwrites devices as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overwrite {
    /// What is written, and how it is read back; its content is the pattern.
    pub reader: Reader,
}

#[tonic::async_trait]
impl Scrubber for Overwrite {
    fn method(&self) -> &'static str {
        "overwrite"
    }

    async fn scrub(&self, job: &Job) -> Result<Outcome, ScrubError> {
        let (reader, job) = (self.reader.clone(), job.clone());
        let done = spawn_blocking(move || scrub(&reader, &job)).await;
        done.map_err(|error| ScrubError::io("the thread that overwrites")(error.into()))?
    }
}

fn scrub(reader: &Reader, job: &Job) -> Result<Outcome, ScrubError> {
    reader.plant(job)?;
    let (file, bytes_total) = reader.place.open(job)?;
    let block_bytes = u64::try_from(BLOCK).unwrap_or(u64::MAX);
    let mut bytes_covered: u64 = 0;
    for index in 0..bytes_total.div_ceil(block_bytes) {
        let (offset, length) = extent(index, bytes_total);
        let block = Content::Pattern.block(&job.nonce, index);
        let part = block.get(..length).unwrap_or_default();
        file.write_all_at(part, offset).map_err(ScrubError::io(format!("overwrite byte {offset}")))?;
        bytes_covered = bytes_covered.saturating_add(u64::try_from(length).unwrap_or(0));
    }
    file.sync_all().or_else(unless_unsupported).map_err(ScrubError::io("overwrite"))?;
    drop(file);
    let seen = reader.read(job)?;
    let outcome = Outcome {
        bytes_covered,
        bytes_total: bytes_total.max(seen.bytes),
        samples: seen.samples,
        mismatches: seen.mismatches,
        detail: String::new(),
        uuid: String::new(),
        evidence: if reader.samples.is_none() { Evidence::Full } else { Evidence::Sampled },
        not_covered: Vec::new(),
    };
    checked(outcome, WHOLE)
}
