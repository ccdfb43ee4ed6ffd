//! Reading a chain, line by line, within bounds. Whether the lines hold together is checked by who has the checkpoint.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use super::{LINE_MAX_BYTES, Line, NAME, Sealed, What};

/// The lines of a chain, in order.
#[derive(Debug)]
pub struct Lines {
    input: BufReader<File>,
    offset: u64,
}

/// A line as it is in the file.
#[derive(Clone, Debug)]
pub struct RawLine {
    /// Where it begins.
    pub offset: u64,
    /// Without its newline.
    pub bytes: Vec<u8>,
    /// False for a last line without newline: it was being written, or is torn.
    pub whole: bool,
}

impl RawLine {
    /// What it says; `None` when it is no line of a chain.
    #[must_use]
    pub fn parse(&self) -> Option<Line> {
        serde_json::from_slice(&self.bytes).ok()
    }
}

impl Lines {
    /// Opens a chain; `None` when there is none.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        match File::open(path) {
            Ok(file) => Ok(Some(Self { input: BufReader::with_capacity(64 << 10, file), offset: 0 })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Iterator for Lines {
    type Item = io::Result<RawLine>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(LINE_MAX_BYTES).unwrap_or(u64::MAX);
        match self.input.by_ref().take(limit).read_until(b'\n', &mut bytes) {
            Err(error) => Some(Err(error)),
            Ok(0) => None,
            Ok(read) => {
                let offset = self.offset;
                self.offset += u64::try_from(read).unwrap_or(u64::MAX);
                let whole = bytes.last() == Some(&b'\n');
                if whole {
                    bytes.pop();
                }
                Some(Ok(RawLine { offset, bytes, whole }))
            }
        }
    }
}

/// The files of a tenant that are sealed and not removed, by their first sequence number. Lines that cannot be read are
/// left out: to say so is `verify`'s business.
///
/// # Errors
/// The chain cannot be read.
pub fn live(tenant_directory: &Path) -> io::Result<Vec<Sealed>> {
    let mut files = BTreeMap::new();
    for line in Lines::open(&tenant_directory.join(NAME))?.into_iter().flatten() {
        match line?.parse().map(|line| line.what) {
            Some(What::Sealed(sealed)) => {
                files.insert((sealed.first, sealed.path.clone()), sealed);
            }
            Some(What::Removed(removed)) => {
                files.remove(&(removed.first, removed.path));
            }
            Some(What::Lost(_)) | None => {}
        }
    }
    Ok(files.into_values().collect())
}
