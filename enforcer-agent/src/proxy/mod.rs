//! The tunnel: flows of workloads carried between nodes over mutual TLS. It knows the doors and the core, no other
//! room.

pub mod native;
pub mod tls;
