//! Keys that live as long as the process: for tests, and for trying things out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyError, Keys, TenantKey};

/// Keys in memory. A tenant whose key is destroyed gets no other.
pub struct Memory {
    signer: Ed25519KeyPair,
    public: [u8; 32],
    /// By tenant; `None` where it was destroyed.
    tenants: Mutex<BTreeMap<String, Option<Zeroizing<[u8; KEY_BYTES]>>>>,
}

impl Memory {
    /// No tenants, a fresh signer.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn new() -> Self {
        let signer = Ed25519KeyPair::generate().expect("randomness");
        let public = signer.public_key().as_ref().try_into().expect("Ed25519 keys have 32 bytes");
        Self { signer, public, tenants: Mutex::default() }
    }

    /// Destroys a tenant's key.
    pub fn destroy(&self, tenant: &str) {
        self.tenants().insert(tenant.to_owned(), None);
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Option<Zeroizing<[u8; KEY_BYTES]>>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory(..)")
    }
}

impl Keys for Memory {
    fn tenant(&self, tenant: &str) -> Result<TenantKey, KeyError> {
        let id = format!("{tenant}/1");
        let mut tenants = self.tenants();
        if !tenants.contains_key(tenant) {
            let mut secret = Zeroizing::new([0; KEY_BYTES]);
            rand::fill(secret.as_mut_slice()).map_err(|_| KeyError::Cipher("give random bytes"))?;
            tenants.insert(tenant.to_owned(), Some(secret));
        }
        match tenants.get(tenant) {
            Some(Some(secret)) => TenantKey::new(&id, secret.clone()),
            Some(None) | None => Err(KeyError::Destroyed(id)),
        }
    }

    fn existing(&self, master_key_id: &str) -> Result<TenantKey, KeyError> {
        let tenant = master_key_id.strip_suffix("/1").unwrap_or_default();
        match self.tenants().get(tenant) {
            Some(Some(secret)) => TenantKey::new(master_key_id, secret.clone()),
            Some(None) => Err(KeyError::Destroyed(master_key_id.to_owned())),
            None => Err(KeyError::Unknown(master_key_id.to_owned())),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.signer.sign(message).as_ref().try_into().map_err(|_| KeyError::Cipher("sign"))
    }

    fn public(&self) -> [u8; 32] {
        self.public
    }
}
