//! The segments of a log, by their names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::frame::{Chain, SegmentNote};
use super::read::{Found, Reader};
use crate::hex;

const SUFFIX: &str = ".wal";
const DIGITS: usize = 8;

/// The file of a segment in the log's directory.
#[must_use]
pub fn path(log: &Path, number: u64) -> PathBuf {
    log.join(format!("{number:0DIGITS$}{SUFFIX}"))
}

/// The numbers of the segments that are there, in order. Files of other names are none.
///
/// # Errors
/// The directory cannot be read.
pub fn list(log: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX))
            .filter(|digits| digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit()));
        numbers.extend(number.and_then(|digits| digits.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// The hash that a segment says the one before it ended in; `None` when that cannot be read, or the segment is gone.
///
/// # Errors
/// The file cannot be read.
pub fn previous(path: &Path) -> io::Result<Option<Chain>> {
    let mut reader = match Reader::open(path) {
        Ok(reader) => reader,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(Found::Frame(frame)) = reader.read()? else { return Ok(None) };
    let note: Option<SegmentNote> = serde_json::from_slice(&frame.body).ok();
    Ok(note.and_then(|note| hex::decode(&note.previous)))
}

/// Damaged segments that were set aside, oldest first.
///
/// # Errors
/// The directory cannot be read.
pub fn set_aside(log: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == super::ASIDE) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
