//! The key that signs receipts: the node's, the same that signs the checkpoints of traces.

use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::door::safe::{Safe, SafeError};

/// Where the trace room keeps the same key: whoever comes first makes it.
const DRAWER: &str = "trace";
const ITEM: &str = "signer";
const SEED_BYTES: usize = 32;
/// One more than a seed has, so that a longer file is seen to be one.
const SEED_LIMIT: u64 = 33;

/// Signs for the node.
pub trait Sign: Send + Sync {
    /// Ed25519 over the message.
    fn sign(&self, message: &[u8]) -> [u8; 64];
    /// The public key.
    fn public(&self) -> [u8; 32];
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The vault says no.
    #[error("the key that signs receipts: {0}")]
    Safe(#[from] SafeError),
    /// A file cannot be used.
    #[error("the key that signs receipts: {0}")]
    File(#[from] io::Error),
    /// What is there is no key.
    #[error("what signs receipts is no Ed25519 seed of 32 bytes")]
    Seed,
    /// There is no randomness.
    #[error("the cryptographic library gives no random bytes")]
    Random,
}

/// A key pair, and its public half.
struct Pair {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Pair {
    fn of(seed: &[u8]) -> Result<Self, SignError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| SignError::Seed)?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| SignError::Seed)?;
        Ok(Self { pair, public })
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        // An Ed25519 signature has 64 bytes.
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

/// The key in the vault.
pub struct SafeSigner(Pair);

impl SafeSigner {
    /// Takes it out, or makes it.
    ///
    /// # Errors
    /// The vault says no, or what it has is no key.
    pub fn open(safe: &dyn Safe) -> Result<Self, SignError> {
        if let Some(seed) = safe.get(DRAWER, ITEM)? {
            return Pair::of(&seed).map(Self);
        }
        let seed = fresh()?;
        safe.put(DRAWER, ITEM, seed.as_slice())?;
        Pair::of(seed.as_slice()).map(Self)
    }
}

impl Sign for SafeSigner {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    fn public(&self) -> [u8; 32] {
        self.0.public
    }
}

/// A key in a file of its own, where identities are off and there is no vault: as safe as its directory.
pub struct FileSigner(Pair);

impl FileSigner {
    /// Reads it, or makes it.
    ///
    /// # Errors
    /// The file cannot be used, or holds no key.
    pub fn open(path: &Path) -> Result<Self, SignError> {
        let mut seed = Zeroizing::new(Vec::with_capacity(SEED_BYTES + 1));
        match OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path) {
            Ok(file) => {
                file.take(SEED_LIMIT).read_to_end(&mut seed)?;
                return Pair::of(&seed).map(Self);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let seed = fresh()?;
        let temporary = path.with_extension("new");
        let _none_is_left = std::fs::remove_file(&temporary);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(seed.as_slice())?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        Pair::of(seed.as_slice()).map(Self)
    }
}

impl Sign for FileSigner {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    fn public(&self) -> [u8; 32] {
        self.0.public
    }
}

fn fresh() -> Result<Zeroizing<[u8; SEED_BYTES]>, SignError> {
    let mut seed = Zeroizing::new([0; SEED_BYTES]);
    rand::fill(seed.as_mut_slice()).map_err(|_| SignError::Random)?;
    Ok(seed)
}
