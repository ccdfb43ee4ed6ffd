//! Receipts for destroyed keys: each signed by the signer.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::report::{VerifyReport, Wrong};
use super::trust::{Trust, find};
use super::{VerifyError, io_error};
use crate::receipt::{DIRECTORY, Receipt};
use crate::store::names;

/// Largest receipt.
const BYTES_MAX: u64 = 64 << 10;

pub(super) fn verify(directory: &Path, trust: &Trust, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let Some(key) = &trust.key else { return Ok(()) };
    let receipts = directory.join(DIRECTORY);
    for name in names(&receipts)?.iter().filter(|name| !name.starts_with('.')) {
        let path = receipts.join(name);
        let mut bytes = Vec::new();
        let file = File::open(&path).map_err(io_error(&path))?;
        file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(io_error(&path))?;
        let receipt = std::str::from_utf8(&bytes).ok().and_then(|text| Receipt::verified(text, key));
        let is_spelled =
            receipt.is_some_and(|receipt| format!("{}\n", receipt.to_json()).as_bytes() == bytes);
        if !is_spelled {
            let detail = "it is no receipt that the signer signed".to_owned();
            find(report, &format!("{DIRECTORY}/{name}"), Wrong::Unsigned, detail);
        }
    }
    Ok(())
}
