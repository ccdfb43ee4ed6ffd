//! The keys of traces, sealed in the vault: one for each tenant, in a drawer of its own that is destroyed with it, and the
//! one that signs checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use enforcer_trace::keys::{KEY_BYTES, KeyError, Keys, TenantKey};
use zeroize::Zeroizing;

use super::records::Teller;
use crate::door::safe::{Safe, SafeError};
use crate::hex::hex;

/// The drawer of what belongs to no tenant.
const DRAWER: &str = "trace";
/// What signs checkpoints: an Ed25519 seed.
const SIGNER: &str = "signer";
/// What the names of destroyed keys begin with: `destroyed.TENANT.KEY`.
const DESTROYED: &str = "destroyed.";
/// Random bytes in the name of a key.
const NAME_BYTES: usize = 8;

/// A secret of AES-256.
type Secret = Zeroizing<[u8; KEY_BYTES]>;

/// Keys in the vault.
pub struct VaultKeys {
    safe: Arc<dyn Safe>,
    teller: Teller,
    signer: Ed25519KeyPair,
    public: [u8; KEY_BYTES],
    known: Mutex<Known>,
}

/// What was read already.
#[derive(Default)]
struct Known {
    /// Of each tenant, the name of its key, and the key.
    tenants: BTreeMap<String, (String, Secret)>,
    /// `masterKeyID`s.
    destroyed: BTreeSet<String>,
}

/// Why the keys of traces cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// The vault says no.
    #[error("the keys of traces: {0}")]
    Safe(#[from] SafeError),
    /// What signs checkpoints is no key.
    #[error("what signs checkpoints is in the vault and is no Ed25519 key")]
    Signer,
    /// There is no randomness.
    #[error("the cryptographic library gives no random bytes")]
    Random,
}

impl fmt::Debug for VaultKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultKeys").finish_non_exhaustive()
    }
}

impl VaultKeys {
    /// Takes the signer out of the vault, or makes it, and finishes what a destruction that was interrupted has left.
    ///
    /// # Errors
    /// The vault says no.
    pub fn open(safe: Arc<dyn Safe>, teller: Teller) -> Result<Self, KeysError> {
        let seed = match safe.get(DRAWER, SIGNER)? {
            Some(seed) => seed,
            None => {
                let seed = random::<KEY_BYTES>()?;
                safe.put(DRAWER, SIGNER, seed.as_slice())?;
                Zeroizing::new(seed.to_vec())
            }
        };
        let signer = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeysError::Signer)?;
        let public = signer.public_key().as_ref().try_into().map_err(|_| KeysError::Signer)?;
        let destroyed = destroyed(safe.as_ref())?;
        let known = Mutex::new(Known { tenants: BTreeMap::new(), destroyed });
        Ok(Self { safe, teller, signer, public, known })
    }

    /// Destroys a tenant's key for good. What it sealed can never be read again; what is recorded from now on gets
    /// another key.
    ///
    /// # Errors
    /// There is no such key, or the vault says no.
    pub fn destroy(&self, tenant: &str) -> Result<String, KeyError> {
        let mut known = self.known();
        let name = self.name_of(&known, tenant)?.ok_or_else(|| KeyError::Unknown(tenant.to_owned()))?;
        let id = format!("{tenant}/{name}");
        let unavailable = |error: SafeError| KeyError::Unavailable { id: id.clone(), reason: error.0 };
        // First the word that it is gone: whatever is interrupted after that is finished at the next start.
        self.safe.put(DRAWER, &format!("{DESTROYED}{tenant}.{name}"), &[]).map_err(unavailable)?;
        known.tenants.remove(tenant);
        known.destroyed.insert(id.clone());
        self.safe.destroy(&drawer(tenant)).map_err(unavailable)?;
        Ok(id)
    }

    /// True while a tenant has a key. What the vault does not say is not there.
    #[must_use]
    pub fn has(&self, tenant: &str) -> bool {
        let known = self.known();
        self.name_of(&known, tenant).ok().flatten().is_some()
    }

    /// The name of a tenant's key.
    fn name_of(&self, known: &Known, tenant: &str) -> Result<Option<String>, KeyError> {
        if let Some((name, _)) = known.tenants.get(tenant) {
            return Ok(Some(name.clone()));
        }
        let items = self.safe.items(&drawer(tenant));
        let items =
            items.map_err(|error| KeyError::Unavailable { id: tenant.to_owned(), reason: error.0 })?;
        let is_there = |name: &String| !known.destroyed.contains(&format!("{tenant}/{name}"));
        Ok(items.into_iter().find(is_there))
    }

    /// A tenant's key out of the vault.
    fn load(&self, known: &mut Known, tenant: &str) -> Result<Option<TenantKey>, KeyError> {
        let Some(name) = self.name_of(known, tenant)? else { return Ok(None) };
        let id = format!("{tenant}/{name}");
        if let Some((_, secret)) = known.tenants.get(tenant) {
            return TenantKey::new(&id, secret.clone()).map(Some);
        }
        let unavailable = |reason: String| KeyError::Unavailable { id: id.clone(), reason };
        let contents = self.safe.get(&drawer(tenant), &name).map_err(|error| unavailable(error.0))?;
        let contents = contents.ok_or_else(|| unavailable("it is not in its drawer".to_owned()))?;
        let secret = secret(&contents).ok_or_else(|| unavailable("it has not 32 bytes".to_owned()))?;
        known.tenants.insert(tenant.to_owned(), (name, secret.clone()));
        TenantKey::new(&id, secret).map(Some)
    }

    fn make(&self, known: &mut Known, tenant: &str) -> Result<TenantKey, KeyError> {
        let unavailable = |error: &dyn fmt::Display| KeyError::Unavailable {
            id: tenant.to_owned(),
            reason: error.to_string(),
        };
        let secret = random().map_err(|error| unavailable(&error))?;
        let name = hex(random::<NAME_BYTES>().map_err(|error| unavailable(&error))?.as_slice());
        let key = TenantKey::new(&format!("{tenant}/{name}"), secret.clone())?;
        let kept = self.safe.put(&drawer(tenant), &name, secret.as_slice());
        kept.map_err(|error| unavailable(&error))?;
        known.tenants.insert(tenant.to_owned(), (name, secret));
        self.teller.made(tenant, key.id());
        Ok(key)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys for VaultKeys {
    fn tenant(&self, tenant: &str) -> Result<TenantKey, KeyError> {
        let mut known = self.known();
        match self.load(&mut known, tenant)? {
            Some(key) => Ok(key),
            None => self.make(&mut known, tenant),
        }
    }

    fn existing(&self, master_key_id: &str) -> Result<TenantKey, KeyError> {
        let mut known = self.known();
        if known.destroyed.contains(master_key_id) {
            return Err(KeyError::Destroyed(master_key_id.to_owned()));
        }
        let unknown = || KeyError::Unknown(master_key_id.chars().take(LONGEST_TOLD).collect());
        let (tenant, _) = master_key_id.split_once('/').ok_or_else(unknown)?;
        let key = self.load(&mut known, tenant)?.ok_or_else(unknown)?;
        if key.id() == master_key_id { Ok(key) } else { Err(unknown()) }
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.signer.sign(message).as_ref().try_into().map_err(|_| KeyError::Cipher("sign"))
    }

    fn public(&self) -> [u8; 32] {
        self.public
    }
}

/// Characters of a stranger's word that are repeated to him.
const LONGEST_TOLD: usize = 256;

fn drawer(tenant: &str) -> String {
    format!("{DRAWER}-{tenant}")
}

fn secret(contents: &[u8]) -> Option<Secret> {
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    if contents.len() != KEY_BYTES {
        return None;
    }
    secret.copy_from_slice(contents);
    Some(secret)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeysError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| KeysError::Random)?;
    Ok(bytes)
}

/// The keys that were destroyed, and whose drawers are gone when this returns.
fn destroyed(safe: &dyn Safe) -> Result<BTreeSet<String>, SafeError> {
    let mut destroyed = BTreeSet::new();
    for item in safe.items(DRAWER)? {
        let Some((tenant, name)) = item.strip_prefix(DESTROYED).and_then(|rest| rest.rsplit_once('.')) else {
            continue;
        };
        if safe.items(&drawer(tenant))?.iter().any(|item| item == name) {
            safe.destroy(&drawer(tenant))?;
        }
        destroyed.insert(format!("{tenant}/{name}"));
    }
    Ok(destroyed)
}

#[cfg(test)]
mod tests {
    use enforcer_proto::v1;
    use enforcer_trace::keys::{FileKey, PublicKey};

    use super::super::memory::Memory;
    use super::super::records::tests::teller;
    use super::*;

    /// Keys over a safe, and what they told.
    fn open(safe: &Arc<Memory>) -> (VaultKeys, Arc<Mutex<Vec<v1::Record>>>) {
        let (teller, told) = teller();
        (VaultKeys::open(Arc::clone(safe) as Arc<dyn Safe>, teller).unwrap(), told)
    }

    #[test]
    fn keys_outlast_the_agent_and_are_told_once() {
        let safe = Arc::new(Memory::default());
        let (keys, told) = open(&safe);
        let file = FileKey::make(&keys.tenant("red").unwrap()).unwrap();
        let id = keys.tenant("red").unwrap().id().to_owned();
        assert!(id.starts_with("red/") && keys.tenant("blue").unwrap().id() != id);
        assert_eq!(told.lock().unwrap().len(), 2);
        let signature = keys.sign(b"a").unwrap();
        let (later, told) = open(&safe);
        assert_eq!(later.tenant("red").unwrap().id(), id);
        assert_eq!(FileKey::open(&later, &file.key_metadata).unwrap().expose(), file.dek.expose());
        assert!(PublicKey(later.public()).verifies(b"a", &signature));
        assert!(told.lock().unwrap().is_empty());
    }

    #[test]
    fn a_destroyed_key_is_gone_for_good_and_the_tenant_gets_another() {
        let safe = Arc::new(Memory::default());
        let (keys, _) = open(&safe);
        let file = FileKey::make(&keys.tenant("red").unwrap()).unwrap();
        let id = keys.destroy("red").unwrap();
        assert!(!keys.has("red") && !safe.holds("trace-red"));
        assert_eq!(keys.destroy("red"), Err(KeyError::Unknown("red".to_owned())));
        for keys in [&keys, &open(&safe).0] {
            assert_eq!(keys.existing(&id).unwrap_err(), KeyError::Destroyed(id.clone()));
            assert_eq!(FileKey::open(keys, &file.key_metadata).unwrap_err(), KeyError::Destroyed(id.clone()));
        }
        assert_ne!(keys.tenant("red").unwrap().id(), id);
    }

    #[test]
    fn a_destruction_that_was_interrupted_is_finished_at_the_next_start() {
        let safe = Arc::new(Memory::default());
        let (keys, _) = open(&safe);
        let id = keys.tenant("red").unwrap().id().to_owned();
        safe.refuse_to_destroy(true);
        assert!(matches!(keys.destroy("red"), Err(KeyError::Unavailable { .. })));
        assert_eq!(keys.existing(&id).unwrap_err(), KeyError::Destroyed(id.clone()));
        assert!(safe.holds("trace-red"));
        safe.refuse_to_destroy(false);
        let (later, _) = open(&safe);
        assert!(!safe.holds("trace-red"));
        assert_eq!(later.existing(&id).unwrap_err(), KeyError::Destroyed(id));
    }

    #[test]
    fn what_is_nobodys_key_is_unknown_and_makes_none() {
        let safe = Arc::new(Memory::default());
        let (keys, _) = open(&safe);
        let id = keys.tenant("red").unwrap().id().to_owned();
        let long = "a".repeat(10_000);
        for other in ["", "red", "red/1", "blue/1", &format!("{id}0"), &long] {
            assert!(matches!(keys.existing(other), Err(KeyError::Unknown(_))), "{other}");
        }
        assert!(!safe.holds("trace-blue"));
    }

    #[test]
    fn a_damaged_key_is_said_to_be_there_and_is_not_replaced() {
        let safe = Arc::new(Memory::default());
        let (keys, _) = open(&safe);
        let id = keys.tenant("red").unwrap().id().to_owned();
        let name = id.strip_prefix("red/").unwrap();
        safe.put("trace-red", name, b"short").unwrap();
        let (later, _) = open(&safe);
        assert!(matches!(later.tenant("red"), Err(KeyError::Unavailable { .. })));
        safe.put("trace", "signer", b"short").unwrap();
        assert_eq!(VaultKeys::open(safe, teller().0).unwrap_err(), KeysError::Signer);
    }
}
