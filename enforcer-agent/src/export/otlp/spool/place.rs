//! The directory of a spool: who may enter it, which files are its own, and how far the collector has come.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Placed, SpoolError};

/// Mode of every file.
pub(super) const FILE_MODE: u32 = 0o600;
/// Mode of the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Ending of segments.
pub(super) const SUFFIX: &str = ".spool";
/// Ending of what is not in place yet.
const TEMPORARY: &str = ".new";
/// How far the collector has come.
const POSITION: &str = "position";
/// The first word of that file.
const WORD: &str = "enforcer-spool-1";

/// Makes the directory ours alone, and sweeps out what was not put in place.
pub(super) fn prepare(directory: &Path) -> Result<(), SpoolError> {
    let failed = |operation| move |error| SpoolError::io(operation, directory, error);
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory).map_err(failed("create"))?;
    fs::set_permissions(directory, Permissions::from_mode(DIRECTORY_MODE))
        .map_err(failed("close to others"))?;
    for entry in fs::read_dir(directory).map_err(failed("list"))?.flatten() {
        if entry.file_name().to_string_lossy().ends_with(TEMPORARY) {
            fs::remove_file(entry.path()).map_err(failed("sweep"))?;
        }
    }
    Ok(())
}

/// Numbers of the segments, the oldest first. Other files are nobody's business.
pub(super) fn segments(directory: &Path) -> Result<Vec<u64>, SpoolError> {
    let entries = fs::read_dir(directory).map_err(|error| SpoolError::io("list", directory, error))?;
    let number = |name: &str| {
        let digits = name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().filter(|number| *number < u64::MAX)
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut numbers: Vec<u64> = names.filter_map(|name| number(&name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes new names in the directory survive a loss of power.
pub(super) fn sync(directory: &Path) -> Result<(), SpoolError> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|error| SpoolError::io("sync", directory, error))
}

/// How far the collector has come. What is lost of it is delivered twice, never not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Number of the last frame that was taken off; 0 before the first.
    pub(super) taken: u64,
    run: u64,
    last: u64,
}

impl Position {
    /// The last record that was taken off: its numbering and its number.
    pub(super) fn last(&self) -> Option<(u64, u64)> {
        (self.taken > 0).then_some((self.run, self.last))
    }

    pub(super) const fn take(&mut self, placed: &Placed) {
        *self = Self { taken: placed.id, run: placed.run, last: placed.last };
    }

    /// `None` when there is none, or it is not what was written.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, SpoolError> {
        let path = directory.join(POSITION);
        match fs::read(&path) {
            Ok(bytes) => Ok(String::from_utf8(bytes).ok().and_then(|text| Self::parse(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SpoolError::io("read", &path, error)),
        }
    }

    pub(super) fn write(&self, directory: &Path) -> Result<(), SpoolError> {
        let path = directory.join(POSITION);
        let temporary = directory.join(format!("{POSITION}{TEMPORARY}"));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(&temporary)
            .and_then(|mut file| file.write_all(self.text().as_bytes()))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| SpoolError::io("write", &path, error))
    }

    fn text(&self) -> String {
        let fields = format!("{WORD} {} {} {}", self.taken, self.run, self.last);
        format!("{fields} {}\n", check(&fields))
    }

    fn parse(text: &str) -> Option<Self> {
        let (fields, found) = text.strip_suffix('\n')?.rsplit_once(' ')?;
        if check(fields) != found {
            return None;
        }
        let mut numbers = fields.strip_prefix(WORD)?.strip_prefix(' ')?.split(' ').map(str::parse);
        let position =
            Self { taken: numbers.next()?.ok()?, run: numbers.next()?.ok()?, last: numbers.next()?.ok()? };
        numbers.next().is_none().then_some(position)
    }
}

fn check(fields: &str) -> String {
    crate::hex::hex(Sha256::digest(fields.as_bytes()).get(..8).unwrap_or_default())
}
