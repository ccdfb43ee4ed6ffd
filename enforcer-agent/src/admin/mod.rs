//! Who may talk to the agent, and what it answers: sockets, peer checks, gRPC services. It reaches policy and
//! records only through [`crate::door`].

pub mod caller;
mod connection;
mod guard;
mod health;
pub mod limits;
pub mod listen;
pub mod reading;
pub mod serve;
mod service;

pub use serve::{Admin, Authority, NodeIdentity};

#[cfg(test)]
mod tests;
