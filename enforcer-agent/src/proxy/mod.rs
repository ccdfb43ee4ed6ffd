//! The tunnel: flows that the policy allows over mutual TLS, carried from one workload's end to the other's. It
//! knows the doors and the core, no other room.

pub mod budget;
pub mod native;
pub mod tls;
