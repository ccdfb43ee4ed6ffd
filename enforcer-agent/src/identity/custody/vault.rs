//! The vault: sealed objects in drawers. Each drawer has a key of its own, sealed with the key-encryption key, so
//! that changing that one touches no object, and a drawer without its key is gone for good.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nix::fcntl::{Flock, FlockArg};
use zeroize::Zeroizing;

use super::drawer::DrawerKey;
use super::error::CustodyError;
use super::frame::{FILE_MAX_BYTES, Frame, Kind};
use super::kek::{Kek, KekSource};
use super::place::Stamp;
use super::{name, place, sweep};

/// Held while drawer keys are sealed or a key-encryption key is dropped.
const LOCK: &str = ".lock";
/// Room for header, nonce and tag in a file.
const OBJECT_MAX_BYTES: usize = FILE_MAX_BYTES - 1024;

/// How surely a write must outlast a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When the call returns.
    Synced,
    /// When the system gets to it: for what can be made anew.
    Lazy,
}

/// An open vault.
pub struct Vault {
    pub(super) directory: PathBuf,
    pub(super) source: KekSource,
    kek: RwLock<Loaded>,
    pub(super) drawers: Mutex<BTreeMap<String, Arc<DrawerKey>>>,
    written: AtomicU64,
}

struct Loaded {
    kek: Arc<Kek>,
    stamp: Stamp,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Vault {
    /// Opens a vault; an empty one is made. The key-encryption key is never made.
    ///
    /// # Errors
    /// There is no key-encryption key, or key or directory are not ours alone.
    pub fn open(directory: &Path, source: KekSource) -> Result<Self, CustodyError> {
        let stamp = source.stamp();
        let kek = Arc::new(source.load()?);
        place::prepare(directory)?;
        sweep::sweep(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            source,
            kek: RwLock::new(Loaded { kek, stamp }),
            drawers: Mutex::default(),
            written: AtomicU64::new(0),
        })
    }

    /// Where key-encryption keys come from: `file`, `systemd-credential`, `pkcs11`.
    #[must_use]
    pub const fn kek_kind(&self) -> &'static str {
        self.source.kind()
    }

    /// The id of the key-encryption key that seals.
    #[must_use]
    pub fn kek_id(&self) -> String {
        self.kek().current().to_owned()
    }

    /// Keeps an object, in place of the one that had its name.
    ///
    /// # Errors
    /// It was not kept; the one that had its name is as it was.
    pub fn put(
        &self,
        drawer: &str,
        item: &str,
        contents: &[u8],
        durability: Durability,
    ) -> Result<(), CustodyError> {
        name::drawer(drawer)?;
        name::item(item)?;
        if contents.len() > OBJECT_MAX_BYTES {
            return Err(CustodyError::TooLarge { bytes: contents.len() });
        }
        let key = self.make_drawer(drawer)?;
        let sealed = key.cipher.seal(Kind::Object, &key.id, &full_name(drawer, item), contents)?;
        self.replace(drawer, item, &sealed, durability)
    }

    /// An object; `None` when nothing has this name.
    ///
    /// # Errors
    /// It is there and cannot be had: damaged, of another vault, or sealed with a key that is not at hand.
    pub fn get(&self, drawer: &str, item: &str) -> Result<Option<Zeroizing<Vec<u8>>>, CustodyError> {
        name::drawer(drawer)?;
        name::item(item)?;
        let path = self.path(drawer, item);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let frame = Frame::parse(&bytes, Kind::Object).map_err(|what| CustodyError::corrupt(&path, what))?;
        let Some(key) = self.find_drawer(drawer)? else {
            return Err(CustodyError::corrupt(&path, "its drawer has no key"));
        };
        if key.id != frame.key_id {
            return Err(CustodyError::corrupt(&path, "it was sealed with another key than its drawer's"));
        }
        let contents = key.cipher.open(Kind::Object, &full_name(drawer, item), &frame);
        contents.map(Some).ok_or_else(|| CustodyError::corrupt(&path, "its contents are not what was sealed"))
    }

    /// Removes an object, if it is there.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove(&self, drawer: &str, item: &str) -> Result<(), CustodyError> {
        name::drawer(drawer)?;
        name::item(item)?;
        place::remove(&self.path(drawer, item))
    }

    /// Removes a drawer with everything in it. Its key goes first: what is left cannot be opened.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove_drawer(&self, drawer: &str) -> Result<(), CustodyError> {
        name::drawer(drawer)?;
        let mut drawers = self.drawers.lock().unwrap_or_else(PoisonError::into_inner);
        drawers.remove(drawer);
        let path = self.directory.join(drawer);
        let removed = self.directory.join(format!("{}{}", sweep::REMOVED, self.next()));
        match fs::rename(&path, &removed) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(CustodyError::io("remove", &path, error)),
        }
        sweep::shred(&removed)?;
        place::sync(&self.directory)
    }

    /// Names of the objects in a drawer, in order.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn items(&self, drawer: &str) -> Result<Vec<String>, CustodyError> {
        name::drawer(drawer)?;
        let mut items = place::list(&self.directory.join(drawer))?;
        items.retain(|item| name::item(item).is_ok());
        Ok(items)
    }

    /// Names of the drawers, in order.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn drawers(&self) -> Result<Vec<String>, CustodyError> {
        let mut drawers = place::list(&self.directory)?;
        drawers.retain(|drawer| name::drawer(drawer).is_ok());
        Ok(drawers)
    }

    /// Reads the key-encryption keys again, if they changed.
    pub(super) fn reload(&self) -> Result<(), CustodyError> {
        let stamp = self.source.stamp();
        let mut loaded = self.kek.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamp != stamp {
            *loaded = Loaded { kek: Arc::new(self.source.load()?), stamp };
        }
        Ok(())
    }

    pub(super) fn kek(&self) -> Arc<Kek> {
        Arc::clone(&self.kek.read().unwrap_or_else(PoisonError::into_inner).kek)
    }

    pub(super) fn replace(
        &self,
        drawer: &str,
        item: &str,
        sealed: &[u8],
        durability: Durability,
    ) -> Result<(), CustodyError> {
        let temporary = self.directory.join(drawer).join(format!(".{item}.{}", self.next()));
        place::replace(&self.path(drawer, item), &temporary, sealed, durability == Durability::Synced)
    }

    fn next(&self) -> u64 {
        self.written.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn path(&self, drawer: &str, item: &str) -> PathBuf {
        self.directory.join(drawer).join(item)
    }
}

/// Waits for the vault's lock: between the agent and the commands that change keys.
pub(super) fn lock(vault: &Path) -> Result<Flock<File>, CustodyError> {
    let path = vault.join(LOCK);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(place::FILE_MODE)
        .open(&path)
        .map_err(|error| CustodyError::io("open", &path, error))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, error)| CustodyError::io("lock", &path, error.into()))
}

pub(super) fn full_name(drawer: &str, item: &str) -> String {
    format!("{drawer}/{item}")
}

pub(super) fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, CustodyError> {
    place::read(path, place::OTHERS, u64::try_from(FILE_MAX_BYTES).unwrap_or(u64::MAX))
}
