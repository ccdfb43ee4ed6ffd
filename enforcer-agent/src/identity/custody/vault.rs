//! The vault: sealed objects in drawers. Each drawer has a key of its own, sealed with the key-encryption key, so
//! that changing that one touches no object, and a drawer without its key is gone for good.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::CustodyError;
use super::frame::{self, Cipher, FILE_MAX_BYTES, Frame, KEY_BYTES, Kind};
use super::kek::{Kek, KekSource, Opened, Stamp};
use super::{name, place};

/// Held while drawer keys are sealed or a key-encryption key is dropped.
const LOCK: &str = ".lock";
/// Drawers that are being removed; what is left of them goes when the vault is opened.
const REMOVED: &str = ".removed-";
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
    directory: PathBuf,
    source: KekSource,
    kek: RwLock<Loaded>,
    drawers: Mutex<BTreeMap<String, Arc<DrawerKey>>>,
    written: AtomicU64,
}

struct Loaded {
    kek: Arc<Kek>,
    stamp: Stamp,
}

struct DrawerKey {
    id: String,
    cipher: Cipher,
}

/// What a re-wrap did.
#[derive(Debug, Default)]
pub struct Rewrapped {
    /// The id of the key that seals now.
    pub current: String,
    /// Drawers that were sealed anew.
    pub rewrapped: u32,
    /// Drawers that still need an older key.
    pub older: u32,
    /// Why, for each of those.
    pub failures: Vec<DrawerFailure>,
}

/// A drawer that could not be sealed anew.
#[derive(Debug)]
pub struct DrawerFailure {
    /// Which.
    pub drawer: String,
    /// Why.
    pub error: CustodyError,
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
        sweep(directory)?;
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
        let removed = self.directory.join(format!("{REMOVED}{}", self.next()));
        match fs::rename(&path, &removed) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(CustodyError::io("remove", &path, error)),
        }
        shred(&removed)?;
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

    /// Reads the key-encryption keys again if they changed, and seals every drawer's key with the current one.
    /// Objects are not touched and stay readable throughout.
    ///
    /// # Errors
    /// The keys cannot be read, or the drawers not be listed; the keys at hand stay.
    pub fn rewrap(&self) -> Result<Rewrapped, CustodyError> {
        let _lock = lock(&self.directory)?;
        self.reload()?;
        let kek = self.kek();
        let mut done = Rewrapped { current: kek.current().to_owned(), ..Rewrapped::default() };
        for drawer in self.drawers()? {
            match self.rewrap_drawer(&kek, &drawer) {
                Ok(changed) => done.rewrapped += u32::from(changed),
                Err(error) => {
                    done.older += 1;
                    done.failures.push(DrawerFailure { drawer, error });
                }
            }
        }
        Ok(done)
    }

    /// Drawers that still need an older key-encryption key.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn sealed_with_older(&self) -> Result<u32, CustodyError> {
        let current = self.kek_id();
        let mut older = 0;
        for drawer in self.drawers()? {
            older += u32::from(key_id(&self.directory, &drawer)?.is_some_and(|id| id != current));
        }
        Ok(older)
    }

    fn rewrap_drawer(&self, kek: &Kek, drawer: &str) -> Result<bool, CustodyError> {
        let path = self.path(drawer, name::KEY);
        let Some(bytes) = read(&path)? else { return Ok(false) };
        let frame =
            Frame::parse(&bytes, Kind::DrawerKey).map_err(|what| CustodyError::corrupt(&path, what))?;
        if frame.key_id == kek.current() {
            return Ok(false);
        }
        let key = self.open_key(kek, drawer, &path, &frame)?;
        let sealed = kek.seal(&full_name(drawer, name::KEY), key.as_slice())?;
        self.replace(drawer, name::KEY, &sealed, Durability::Synced)?;
        Ok(true)
    }

    fn reload(&self) -> Result<(), CustodyError> {
        let stamp = self.source.stamp();
        let mut loaded = self.kek.write().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamp != stamp {
            *loaded = Loaded { kek: Arc::new(self.source.load()?), stamp };
        }
        Ok(())
    }

    fn kek(&self) -> Arc<Kek> {
        Arc::clone(&self.kek.read().unwrap_or_else(PoisonError::into_inner).kek)
    }

    fn find_drawer(&self, drawer: &str) -> Result<Option<Arc<DrawerKey>>, CustodyError> {
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

    fn open_key(
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

    fn make_drawer(&self, drawer: &str) -> Result<Arc<DrawerKey>, CustodyError> {
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

    fn replace(
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

    fn path(&self, drawer: &str, item: &str) -> PathBuf {
        self.directory.join(drawer).join(item)
    }
}

impl DrawerKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Result<Self, CustodyError> {
        let digest = Sha256::new().chain_update(b"enforcer drawer key").chain_update(bytes).finalize();
        let id = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
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

fn full_name(drawer: &str, item: &str) -> String {
    format!("{drawer}/{item}")
}

fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, CustodyError> {
    place::read(path, place::OTHERS, u64::try_from(FILE_MAX_BYTES).unwrap_or(u64::MAX))
}

/// Finishes removals and clears unfinished writes that an earlier run left.
fn sweep(directory: &Path) -> Result<(), CustodyError> {
    let error = |error| CustodyError::io("list", directory, error);
    for entry in fs::read_dir(directory).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let named = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if named.starts_with(REMOVED) {
            shred(&path)?;
        } else if !named.starts_with('.') && path.is_dir() {
            sweep_drawer(&path)?;
        }
    }
    Ok(())
}

fn sweep_drawer(drawer: &Path) -> Result<(), CustodyError> {
    let error = |error| CustodyError::io("list", drawer, error);
    for entry in fs::read_dir(drawer).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.file_name().unwrap_or_default().to_string_lossy().starts_with('.') {
            place::remove(&path)?;
        }
    }
    Ok(())
}

/// Overwrites a drawer's key, which is as good as overwriting everything, and removes the directory. A disk that
/// writes elsewhere than it is told keeps a sealed key at most.
fn shred(directory: &Path) -> Result<(), CustodyError> {
    let path = directory.join(name::KEY);
    if let Ok(file) = OpenOptions::new().write(true).open(&path) {
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let zeros = vec![0; usize::try_from(length).unwrap_or(0).min(FILE_MAX_BYTES)];
        io::Write::write_all(&mut &file, &zeros)
            .and_then(|()| file.sync_all())
            .map_err(|error| CustodyError::io("overwrite", &path, error))?;
    }
    place::remove(&path)?;
    fs::remove_dir_all(directory).map_err(|error| CustodyError::io("remove", directory, error))
}
