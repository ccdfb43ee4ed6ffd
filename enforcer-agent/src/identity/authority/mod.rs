//! The authority that a node can be for itself and for others: tenant CAs below a root, and what they sign. It
//! knows no workload's process and no socket.

mod below_root;
mod csr;
mod decide;
mod der;
mod domain;
mod error;
mod inner;
mod key;
mod local;
mod member;
mod node_ca;
mod pack;
mod parsed;
mod profile;
mod published;
pub(in crate::identity) mod revoked;
mod root;
mod root_key;
mod root_source;
mod rotation;
mod run;
mod settings;
mod store;

pub use csr::{REQUEST_MAX_BYTES, request};
pub use error::{AuthorityError, IssueError, RootError};
pub use local::Local;
pub use node_ca::NodeCa;
pub use pack::{open_svid, seal_svid};
pub use settings::{AuthorityConfig, Clock, Lifetimes, RootSource};

#[cfg(test)]
pub(crate) mod tests;
