//! Records as clients of Hubble read them: flows with Cilium's names and numbers, filters, selections, peers.
//!
//! It must not know who asks: what comes in was already cut down to what the caller may see, and no filter can widen it.

pub mod end;
pub mod filter;
pub mod flow;
pub mod identifier;
pub mod layer4;
pub mod lost;
pub mod mask;
pub mod names;
pub mod namespaces;
pub mod peers;
pub mod query;
pub mod rate;
pub mod reason;
pub mod refusal;
pub mod summary;

/// The version of Cilium's API that names and numbers are of.
pub const API_VERSION: &str = "1.19.4";

#[cfg(test)]
mod stage;
#[cfg(test)]
mod wire_tests;
