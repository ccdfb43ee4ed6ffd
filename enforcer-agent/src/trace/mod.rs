//! Records on disk: they are taken in as they come, kept under their tenants' keys, and handed out to whom they belong.
//! Enforcement never waits for this room; what it does not keep is counted and told.

mod brake;
mod desk;
mod keeper;
mod keys;
#[cfg(test)]
mod memory;
mod read;
mod records;
mod shared;
mod ship;
mod stream;
#[cfg(test)]
mod tests;

pub use desk::{Desk, DeskParts};
pub use keeper::{BATCHES_MAX, Keeper, Parts};
pub use keys::{KeysError, VaultKeys};
pub use records::Teller;
pub use ship::{Shipping, ShippingError};
