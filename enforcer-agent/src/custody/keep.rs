//! What outlives the agent: a small file a device, replaced whole, and a directory of receipts a device. What cannot be
//! read never counts as open.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use enforcer_core::device::custody::receipt::{BYTES_MAX as RECEIPT_BYTES_MAX, Receipt};
use enforcer_core::device::custody::{Custody, DeviceKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::hex::hex;
use crate::private;

const DIRECTORY_MODE: u32 = 0o700;
/// Larger than any file of a device.
const BYTES_MAX: u64 = 1 << 20;
/// Receipts of one device that are kept; older ones go.
const RECEIPTS_MAX: usize = 1_000;

/// Why something could not be kept, or was not found as it was left.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// A system call failed.
    #[error("{path}: {error}")]
    Io {
        /// On what.
        path: PathBuf,
        /// How.
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

/// A receipt and its signature, as they are on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signed {
    /// What is signed.
    pub receipt: Receipt,
    /// Ed25519, hexadecimal.
    pub signature: String,
}

/// What is written of a device.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Entry {
    device: DeviceKey,
    custody: Custody,
}

/// The directory of the room.
#[derive(Clone, Debug)]
pub struct Keep {
    directory: PathBuf,
}

/// A device that was found, and what was written of it, or why that cannot be used.
pub type Found = (DeviceKey, Result<Custody, KeepError>);

impl Keep {
    /// Below the state directory; made when it is not there.
    ///
    /// # Errors
    /// It cannot be made, or not be made private.
    pub fn open(state_directory: &Path) -> Result<Self, KeepError> {
        let directory = state_directory.join("custody");
        for place in [&directory, &directory.join("devices"), &directory.join("receipts")] {
            make(place)?;
        }
        Ok(Self { directory })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Every device of which something was written.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn devices(&self) -> Result<Vec<Found>, KeepError> {
        let place = self.directory.join("devices");
        let mut found = Vec::new();
        for entry in fs::read_dir(&place).map_err(io_at(&place))? {
            let path = entry.map_err(io_at(&place))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(key) = name.strip_suffix(".json").and_then(key_of) else { continue };
            found.push((key.clone(), self.read(&key, &path)));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(found)
    }

    fn read(&self, key: &DeviceKey, path: &Path) -> Result<Custody, KeepError> {
        let wrong = |error: &dyn std::fmt::Display| KeepError::Contents {
            path: path.to_owned(),
            error: error.to_string(),
        };
        let bytes = read(path, BYTES_MAX)?;
        let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
        let (digest, json) = text.split_once('\n').ok_or_else(|| wrong(&"it is cut off"))?;
        if hex(&Sha256::digest(json.as_bytes())) != digest {
            return Err(wrong(&"its digest is another"));
        }
        let entry: Entry = serde_json::from_str(json).map_err(|error| wrong(&error))?;
        if entry.device == *key { Ok(entry.custody) } else { Err(wrong(&"it is about another device")) }
    }

    /// Replaces what is written of a device: there is always the old or the new, whole.
    ///
    /// # Errors
    /// The old may still stand.
    pub fn write(&self, key: &DeviceKey, custody: &Custody) -> Result<(), KeepError> {
        let entry = Entry { device: key.clone(), custody: custody.clone() };
        let path = self.directory.join("devices").join(format!("{}.json", name_of(key)));
        let json = json(&path, &entry)?;
        let bytes = format!("{}\n{json}", hex(&Sha256::digest(json.as_bytes())));
        private::replace(&path, bytes.as_bytes()).map_err(io_at(&path))
    }

    /// Forgets a device; its receipts stay.
    ///
    /// # Errors
    /// It may still be there.
    pub fn forget(&self, key: &DeviceKey) -> Result<(), KeepError> {
        let path = self.directory.join("devices").join(format!("{}.json", name_of(key)));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_at(&path)(error)),
            _ => Ok(()),
        }
    }

    /// The receipts of a device, oldest first. One that cannot be read is an error: a chain has no holes.
    ///
    /// # Errors
    /// The directory, or a receipt in it.
    pub fn receipts(&self, key: &DeviceKey, last: usize) -> Result<Vec<Signed>, KeepError> {
        let paths = self.receipt_paths(key)?;
        let from = paths.len().saturating_sub(last);
        paths.iter().skip(from).map(|(_, path)| read_receipt(path)).collect()
    }

    /// Appends a receipt to a device's chain.
    ///
    /// # Errors
    /// It is not kept.
    pub fn append(&self, key: &DeviceKey, signed: &Signed) -> Result<(), KeepError> {
        let place = self.place(key);
        make(&place)?;
        let paths = self.receipt_paths(key)?;
        let number = paths.last().map_or(1, |(number, _)| number.saturating_add(1));
        let path = place.join(format!("{number:010}.json"));
        let bytes = format!("{}\n", json(&path, signed)?);
        private::replace(&path, bytes.as_bytes()).map_err(io_at(&path))?;
        let surplus = paths.len().saturating_add(1).saturating_sub(RECEIPTS_MAX);
        for (_, old) in paths.iter().take(surplus) {
            let _goes_the_next_time = fs::remove_file(old);
        }
        Ok(())
    }

    fn place(&self, key: &DeviceKey) -> PathBuf {
        self.directory.join("receipts").join(name_of(key))
    }

    fn receipt_paths(&self, key: &DeviceKey) -> Result<Vec<(u64, PathBuf)>, KeepError> {
        let place = self.place(key);
        let entries = match fs::read_dir(&place) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_at(&place)(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_at(&place))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(number) = name.strip_suffix(".json").and_then(|name| name.parse().ok()) {
                paths.push((number, path));
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// A name for files: classes are labels, or `char:MAJOR`.
fn name_of(key: &DeviceKey) -> String {
    let class: String = key.class.chars().map(|c| if c == '/' { '_' } else { c }).collect();
    format!("{class}@{}", key.number)
}

fn key_of(name: &str) -> Option<DeviceKey> {
    let (class, number) = name.rsplit_once('@')?;
    Some(DeviceKey { class: class.to_owned(), number: number.parse().ok()? })
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> KeepError + '_ {
    |error| KeepError::Io { path: path.to_owned(), error }
}

fn json(path: &Path, value: &impl Serialize) -> Result<String, KeepError> {
    serde_json::to_string(value)
        .map_err(|error| KeepError::Contents { path: path.to_owned(), error: error.to_string() })
}

fn make(place: &Path) -> Result<(), KeepError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(place);
    made.and_then(|()| fs::set_permissions(place, Permissions::from_mode(DIRECTORY_MODE)))
        .map_err(io_at(place))
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, KeepError> {
    let mut bytes = Vec::new();
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path);
    let read = file.and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(io_at(path))?;
    Ok(bytes)
}

fn read_receipt(path: &Path) -> Result<Signed, KeepError> {
    let most = u64::try_from(RECEIPT_BYTES_MAX).unwrap_or(u64::MAX);
    serde_json::from_slice(&read(path, most)?)
        .map_err(|error| KeepError::Contents { path: path.to_owned(), error: error.to_string() })
}
