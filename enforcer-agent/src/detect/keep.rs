//! What outlives the agent: responses, so that each is ended, and what was learned. Two small files, each replaced whole.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::private;

const DIRECTORY_MODE: u32 = 0o700;
/// More than is ever written.
const BYTES_MAX: u64 = 256 << 20;

/// Why something could not be kept, or was not found as it was left.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A system call failed.
    #[error("cannot {operation} {path}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        error: io::Error,
    },
    /// It is not what was written here.
    #[error("{path} is not what was written here: {error}")]
    Contents {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: String,
    },
}

impl KeepError {
    fn io(operation: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Io { operation, path: path.to_owned(), error }
    }
}

/// The directory of the room.
#[derive(Clone, Debug)]
pub(super) struct Keep {
    directory: PathBuf,
}

impl Keep {
    /// Below the state directory; made when it is not there.
    pub(super) fn open(state_directory: &Path) -> Result<Self, KeepError> {
        let directory = state_directory.join("detection");
        let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(&directory);
        made.map_err(|error| KeepError::io("create", &directory, error))?;
        let private = fs::set_permissions(&directory, Permissions::from_mode(DIRECTORY_MODE));
        private.map_err(|error| KeepError::io("restrict", &directory, error))?;
        Ok(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What was kept; `None` when nothing was.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, KeepError> {
        let path = self.path(name);
        let file = match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(KeepError::io("open", &path, error)),
        };
        let mut bytes = Vec::new();
        let read = file.take(BYTES_MAX).read_to_end(&mut bytes);
        read.map_err(|error| KeepError::io("read", &path, error))?;
        let value = serde_json::from_slice(&bytes);
        value.map(Some).map_err(|error| self.unusable(name, error.to_string()))
    }

    /// An error about the contents of a file.
    pub(super) fn unusable(&self, name: &str, error: String) -> KeepError {
        KeepError::Contents { path: self.path(name), error }
    }

    /// Puts a file aside that cannot be used, for a person to look at.
    pub(super) fn put_aside(&self, name: &str) {
        let path = self.path(name);
        let _stays_where_it_is = fs::rename(&path, path.with_extension("broken"));
    }

    /// Replaces a file: there is always the old one or the new one, whole.
    pub(super) fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), KeepError> {
        let path = self.path(name);
        let bytes = serde_json::to_vec(value).map_err(|error| self.unusable(name, error.to_string()))?;
        private::replace(&path, &bytes).map_err(|error| KeepError::io("write", &path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_is_nobody_elses() {
        let home = tempfile::tempdir().unwrap();
        let keep = Keep::open(home.path()).unwrap();
        assert_eq!(keep.read::<Vec<u8>>("a.json").unwrap(), None);
        keep.write("a.json", &vec![1, 2]).unwrap();
        // A write that broke off leaves its half behind.
        fs::write(keep.path("a.new"), b"[3,").unwrap();
        keep.write("a.json", &vec![3]).unwrap();
        assert_eq!(Keep::open(home.path()).unwrap().read::<Vec<u8>>("a.json").unwrap(), Some(vec![3]));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&keep.directory), mode(&keep.path("a.json"))), (0o700, 0o600));
    }

    #[test]
    fn what_was_not_written_here_is_told_and_can_be_put_aside() {
        let home = tempfile::tempdir().unwrap();
        let keep = Keep::open(home.path()).unwrap();
        fs::write(keep.path("a.json"), b"[1,").unwrap();
        let error = keep.read::<Vec<u8>>("a.json").unwrap_err();
        assert!(matches!(&error, KeepError::Contents { .. }), "{error}");
        keep.put_aside("a.json");
        assert_eq!(keep.read::<Vec<u8>>("a.json").unwrap(), None);
        assert!(keep.path("a.broken").exists());
    }
}
