//! Changing the key-encryption key under a vault that is in use.

use super::drawer::key_id;
use super::error::CustodyError;
use super::frame::{Frame, Kind};
use super::kek::Kek;
use super::name;
use super::vault::{Durability, Vault, full_name, lock, read};

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

impl Vault {
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
}
