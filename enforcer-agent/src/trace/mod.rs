//! Records on disk: they are taken in as they come, kept under their tenants' keys, and handed out to whom they belong.
//! Enforcement never waits for this room; what it does not keep is counted and told.

mod keys;
#[cfg(test)]
mod memory;
mod records;

pub use keys::{KeysError, VaultKeys};
pub use records::Teller;
