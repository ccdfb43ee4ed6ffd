//! Keeping keys: the key-encryption key, and the vault whose contents it seals. It knows nothing of certificates
//! and of what the contents mean.

pub mod commands;
mod error;
mod frame;
pub mod kek;
mod keyfile;
mod name;
mod place;
pub mod token;
pub mod vault;

pub use error::CustodyError;
pub use kek::KekSource;
pub use vault::{DrawerFailure, Durability, Rewrapped, Vault};

#[cfg(test)]
pub(crate) mod tests;
