//! Traces at rest. What is acknowledged survives a loss of power; what is sealed is encrypted for its tenant, and
//! whatever is flipped, removed, reordered or cut off afterwards is found and named. It knows files and keys; of
//! agents, callers and networks it knows nothing.

pub mod chain;
pub mod checkpoint;
mod disk;
pub mod error;
pub mod export;
pub mod hex;
pub mod keys;
pub mod limits;
mod name;
pub mod parquet;
pub mod query;
pub mod receipt;
mod retention;
mod seal;
pub mod ship;
pub mod split;
pub mod store;
pub mod summary;
pub mod verify;
pub mod wal;

pub use error::StoreError;
pub use limits::{Keep, Limits};
pub use store::{Appended, Recovered, Status, Store};
pub use verify::{Finding, VerifyOptions, VerifyReport, verify};
