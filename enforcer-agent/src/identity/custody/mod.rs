//! Keeping keys: the key-encryption key, and the vault whose contents it seals. It knows nothing of certificates
//! and of what the contents mean.

pub mod commands;
mod drawer;
mod error;
mod frame;
pub mod kek;
mod keyfile;
mod name;
pub(in crate::identity) mod place;
mod rewrap;
mod sweep;
pub mod token;
pub mod vault;

pub use error::CustodyError;
pub use kek::KekSource;
pub use rewrap::{DrawerFailure, Rewrapped};
pub use vault::{Durability, Vault};

#[cfg(test)]
pub(crate) mod tests;
