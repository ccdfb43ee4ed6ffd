//! Opening a device.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::sample::Sample;

/// What an opener found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opens {
    /// One open and close: the median over the batches, in nanoseconds.
    pub(crate) ns: f64,
}

pub(super) fn open(path: &Path, batches: usize, batch: u32) -> Result<Opens> {
    let mut each = Vec::with_capacity(batches);
    for _ in 0..batches {
        let start = Instant::now();
        for _ in 0..batch {
            drop(File::open(path).with_context(|| path.display().to_string())?);
        }
        each.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(batch));
    }
    Ok(Opens { ns: Sample::from(each).median() })
}
