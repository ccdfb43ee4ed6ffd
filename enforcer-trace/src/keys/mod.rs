//! Keys of tenants, data keys under them, and the key that signs checkpoints. Where they come from is not known here.

mod file;
mod master;
mod memory;
mod public;

pub use file::{FileKey, Material};
pub use master::{DataKey, TenantKey};
pub use memory::Memory;
pub use public::{PublicKey, PublicKeyError};

/// Bytes of a key of AES-256.
pub const KEY_BYTES: usize = 32;
/// Longest `masterKeyID`.
pub const MASTER_KEY_ID_MAX_BYTES: usize = 192;

/// Where keys are had. Calls may touch the disk; none waits for a network.
pub trait Keys: Send + Sync {
    /// The key that seals a tenant's new traces; made at its first use.
    ///
    /// # Errors
    /// The tenant's key was destroyed, or cannot be had now.
    fn tenant(&self, tenant: &str) -> Result<TenantKey, KeyError>;

    /// The key that sealed something before, by its `masterKeyID`.
    ///
    /// # Errors
    /// It was destroyed, was never there, or cannot be had now.
    fn existing(&self, master_key_id: &str) -> Result<TenantKey, KeyError>;

    /// An Ed25519 signature over a message, by the node's signer of checkpoints.
    ///
    /// # Errors
    /// The key cannot be had now.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError>;

    /// The signer's public key, Ed25519.
    fn public(&self) -> [u8; 32];
}

/// Why there is no key, or why it did not open what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Somebody destroyed it: what it sealed can never be read again.
    #[error("the key {0:?} was destroyed: what it sealed can never be read again")]
    Destroyed(String),
    /// There never was one of that name here.
    #[error("there is no key {0:?} here")]
    Unknown(String),
    /// It is there and cannot be had.
    #[error("the key {id:?} cannot be had: {reason}")]
    Unavailable {
        /// Which key.
        id: String,
        /// What the place where keys are kept says.
        reason: String,
    },
    /// The contents are not what was sealed, or another key sealed them.
    #[error("the key {0:?} does not open it: it was changed, or another key sealed it")]
    Wrong(String),
    /// Not a `masterKeyID` that anybody here made.
    #[error("{0:?} is no id of a tenant's key (\"TENANT/KEY\")")]
    Id(String),
    /// Not key material as PKMT1 has it.
    #[error("the key material is not PKMT1 as it is written here: {0}")]
    Material(&'static str),
    /// The library has no randomness, or refuses to work.
    #[error("the cryptographic library cannot {0}")]
    Cipher(&'static str),
}
