//! Drawers of a vault: each has a key of its own, which the key-encryption key seals.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::CustodyError;
use super::frame::{self, Cipher, Frame, KEY_BYTES, Kind};
use super::kek::{Kek, Opened};
use super::vault::{Durability, Vault, full_name, lock, read};
use super::{name, place};
use crate::hex::hex;

/// A drawer's key in memory.
pub(super) struct DrawerKey {
    pub(super) id: String,
    pub(super) cipher: Cipher,
}

impl Vault {
    /// A drawer's key; `None` when there is no such drawer.
    pub(super) fn find_drawer(&self, drawer: &str) -> Result<Option<Arc<DrawerKey>>, CustodyError> {
        let mut drawers = self.drawers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = drawers.get(drawer) {
            return Ok(Some(Arc::clone(key)));
        }
        let Some(key) = self.load_drawer(drawer)? else { return Ok(None) };
        drawers.insert(drawer.to_owned(), Arc::clone(&key));
        Ok(Some(key))
    }

    fn load_drawer(&self, drawer: &str) -> Result<Option<Arc<DrawerKey>>, CustodyError> {
        let path = self.path(drawer, name::KEY);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let frame =
            Frame::parse(&bytes, Kind::DrawerKey).map_err(|what| CustodyError::corrupt(&path, what))?;
        let key = self.open_key(&self.kek(), drawer, &path, &frame)?;
        Ok(Some(Arc::new(DrawerKey::new(&key)?)))
    }

    /// A drawer's key out of its sealed file.
    pub(super) fn open_key(
        &self,
        kek: &Kek,
        drawer: &str,
        path: &Path,
        frame: &Frame<'_>,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, CustodyError> {
        let bytes = match kek.open(&full_name(drawer, name::KEY), frame)? {
            Opened::Contents(bytes) => bytes,
            Opened::Damaged => {
                return Err(CustodyError::corrupt(path, "its contents are not what was sealed"));
            }
            Opened::UnknownKey => {
                let (id, place) = (frame.key_id.to_owned(), self.source.place());
                return Err(CustodyError::UnknownKey { path: path.to_owned(), id, place });
            }
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(CustodyError::corrupt(path, "its contents are no key"));
        }
        key.copy_from_slice(&bytes);
        Ok(key)
    }

    /// A drawer's key; a drawer that is not there is made.
    pub(super) fn make_drawer(&self, drawer: &str) -> Result<Arc<DrawerKey>, CustodyError> {
        if let Some(key) = self.find_drawer(drawer)? {
            return Ok(key);
        }
        let _lock = lock(&self.directory)?;
        let mut drawers = self.drawers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = drawers.get(drawer) {
            return Ok(Arc::clone(key));
        }
        if let Some(item) = self.items(drawer)?.first() {
            return Err(CustodyError::corrupt(&self.path(drawer, item), "its drawer has no key"));
        }
        // A key-encryption key that was dropped meanwhile must not seal.
        self.reload()?;
        let bytes = frame::random::<KEY_BYTES>()?;
        let key = Arc::new(DrawerKey::new(&bytes)?);
        let sealed = self.kek().seal(&full_name(drawer, name::KEY), bytes.as_slice())?;
        self.make_directory(drawer)?;
        self.replace(drawer, name::KEY, &sealed, Durability::Synced)?;
        drawers.insert(drawer.to_owned(), Arc::clone(&key));
        Ok(key)
    }

    fn make_directory(&self, drawer: &str) -> Result<(), CustodyError> {
        let path = self.directory.join(drawer);
        match DirBuilder::new().mode(place::DIRECTORY_MODE).create(&path) {
            Ok(()) => place::sync(&self.directory),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(CustodyError::io("create", &path, error)),
        }
    }
}

impl DrawerKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, CustodyError> {
        let digest = Sha256::new().chain_update(b"enforcer drawer key").chain_update(bytes).finalize();
        let id = hex(&digest[..8]);
        Ok(Self { id, cipher: Cipher::new(bytes)? })
    }
}

/// The id of the key-encryption key that a drawer needs; `None` when it has no key.
pub(super) fn key_id(vault: &Path, drawer: &str) -> Result<Option<String>, CustodyError> {
    let path = vault.join(drawer).join(name::KEY);
    let Some(bytes) = read(&path)? else { return Ok(None) };
    let frame = Frame::parse(&bytes, Kind::DrawerKey).map_err(|what| CustodyError::corrupt(&path, what))?;
    Ok(Some(frame.key_id.to_owned()))
}
