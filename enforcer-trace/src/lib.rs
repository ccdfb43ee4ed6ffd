//! Traces at rest. What is acknowledged survives a loss of power; what is sealed is encrypted for its tenant, and
//! whatever is flipped, removed, reordered or cut off afterwards is found and named. It knows files and keys; of
//! agents, callers and networks it knows nothing.

pub mod chain;
pub mod checkpoint;
mod disk;
pub mod error;
pub mod hex;
pub mod keys;
mod name;
pub mod split;
pub mod wal;
