//! The last good policies on disk: a journal of one base and the changes since, each with a checksum that
//! covers its predecessor's. It knows messages and files, not what a policy means.

mod directory;
pub mod entry;
pub mod error;
mod frame;
mod journal;
mod load;

pub use entry::{Content, Entry};
pub use error::StoreError;
pub use journal::Store;
pub use load::Loaded;

#[cfg(test)]
mod tests;
