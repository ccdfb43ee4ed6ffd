//! What a copy must hold to stand at a checkpoint.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{ShipError, unreadable};
use crate::chain::{self, Line, What};
use crate::checkpoint::{self, ChainPosition, Checkpoint, CheckpointError};
use crate::store::{SIGNER, TENANT, tenant_directory};
use crate::{name, receipt, wal};

/// Something to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// Where it is.
    pub(super) from: From,
    /// Its name in the copy, and under the store's directory.
    pub(super) place: String,
    /// How many of its bytes.
    pub(super) bytes: u64,
    /// What they hash to, where a chain says so.
    pub(super) sha256: Option<String>,
}

/// Where bytes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// The first bytes of a file: what comes behind them came later.
    File(PathBuf),
    /// Bytes that were read with the plan: the file may be replaced meanwhile.
    Memory(Vec<u8>),
}

/// A tenant's part.
#[derive(Debug)]
pub(super) struct Tenant {
    /// "tenant=NAME"
    pub(super) place: String,
    /// In the order of the chain.
    pub(super) files: Vec<Item>,
    pub(super) chain: Item,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) sequence: u64,
    pub(super) tenants: Vec<Tenant>,
    pub(super) log: Vec<Item>,
    pub(super) receipts: Vec<Item>,
    pub(super) signer: Item,
    pub(super) checkpoint: Item,
    oldest: u64,
}

impl Plan {
    /// By the checkpoint of a store; nothing when there is none yet.
    pub(super) fn read(directory: &Path) -> Result<Option<Self>, ShipError> {
        let path = directory.join(checkpoint::NAME);
        let bytes = match bounded(&path, checkpoint::BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(unreadable(&path))?,
        };
        let body = Checkpoint::parse(&bytes)?.body;
        let mut tenants = Vec::new();
        for (tenant, position) in &body.chains {
            name::check(tenant).map_err(|_| CheckpointError::Shape)?;
            tenants.push(Tenant::read(directory, tenant, position)?);
        }
        let signer = directory.join(SIGNER);
        let key = bounded(&signer, 4096).map_err(unreadable(&signer))?;
        Ok(Some(Self {
            number: body.number,
            sequence: body.sequence,
            tenants,
            log: log(directory, &body.log)?,
            receipts: receipts(directory)?,
            signer: Item::memory(SIGNER, key),
            checkpoint: Item::memory(checkpoint::NAME, bytes),
            oldest: body.log.oldest,
        }))
    }

    /// True for a segment of the log whose records are in sealed files by now.
    pub(super) fn is_sealed(&self, place: &str) -> bool {
        let number = place.strip_prefix(wal::DIRECTORY).and_then(|rest| rest.strip_prefix('/'));
        let number = number.and_then(|name| name.strip_suffix(".wal")).and_then(|digits| digits.parse().ok());
        number.is_some_and(|number: u64| number < self.oldest)
    }
}

impl Item {
    fn memory(place: &str, bytes: Vec<u8>) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self { from: From::Memory(bytes), place: place.to_owned(), bytes: length, sha256: None }
    }
}

impl Tenant {
    fn read(directory: &Path, tenant: &str, position: &ChainPosition) -> Result<Self, ShipError> {
        let (own, place) = (tenant_directory(directory, tenant), format!("{TENANT}{tenant}"));
        let path = own.join(chain::NAME);
        let chain = Item {
            from: From::File(path.clone()),
            place: format!("{place}/{}", chain::NAME),
            bytes: position.bytes,
            sha256: None,
        };
        let mut files: Vec<Item> = Vec::new();
        let lines = chain::Lines::open(&path).map_err(unreadable(&path))?.into_iter().flatten();
        for raw in lines {
            let raw = raw.map_err(unreadable(&path))?;
            if raw.offset >= position.bytes {
                break;
            }
            // A line that cannot be read is sent as it is: whoever verifies the copy finds it there too.
            match raw.parse().map(|line: Line| line.what) {
                Some(What::Sealed(sealed)) => files.push(Item {
                    from: From::File(own.join(&sealed.path)),
                    place: format!("{place}/{}", sealed.path),
                    bytes: sealed.bytes,
                    sha256: Some(sealed.sha256),
                }),
                Some(What::Removed(removed)) => {
                    let gone = format!("{place}/{}", removed.path);
                    files.retain(|file| file.place != gone);
                }
                Some(What::Lost(_)) | None => {}
            }
        }
        Ok(Self { place, files, chain })
    }
}

/// Whole segments as they are; of the last one what is signed for.
fn log(directory: &Path, position: &checkpoint::LogPosition) -> Result<Vec<Item>, ShipError> {
    let log = directory.join(wal::DIRECTORY);
    let mut items = Vec::new();
    for number in position.oldest..=position.segment {
        let path = wal::path(&log, number);
        let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = if number == position.segment { position.bytes.min(size) } else { size };
        let place = format!("{}/{name}", wal::DIRECTORY);
        items.push(Item { from: From::File(path), place, bytes, sha256: None });
    }
    Ok(items)
}

fn receipts(directory: &Path) -> Result<Vec<Item>, ShipError> {
    let path = directory.join(receipt::DIRECTORY);
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable(&path))?,
    };
    let mut items = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable(&path))?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        if name::check(&name).is_err() {
            continue;
        }
        let bytes = entry.metadata().map_err(unreadable(&entry.path()))?.len();
        let place = format!("{}/{name}", receipt::DIRECTORY);
        items.push(Item { from: From::File(entry.path()), place, bytes, sha256: None });
    }
    Ok(items)
}

fn bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
