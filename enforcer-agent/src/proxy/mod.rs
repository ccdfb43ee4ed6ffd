//! The tunnel: flows that the policy allows over mutual TLS, carried from one workload's end to the other's.

pub mod budget;
pub mod registry;
