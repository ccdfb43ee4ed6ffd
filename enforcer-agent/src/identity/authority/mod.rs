//! The authority that a node can be for itself and for others: tenant CAs below a root, and what they sign. It
//! knows no workload's process and no socket.

mod csr;
mod der;
mod error;
mod key;
mod node_ca;
mod pack;
mod parsed;
mod profile;

pub use csr::{REQUEST_MAX_BYTES, request};
pub use error::{AuthorityError, IssueError, RootError};
pub use node_ca::NodeCa;
pub use pack::{open_svid, seal_svid};
