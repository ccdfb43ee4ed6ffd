//! Names and certificates of workloads, as the SPIFFE standards spell them. It must not know a clock, a key or
//! a socket: the time is an argument, and so is whoever checks a signature.

pub mod bundle;
pub mod entitle;
mod json;
pub mod jwks;
pub mod jwt;
pub mod lifecycle;
pub mod schedule;
pub mod signature;
pub mod spiffe_id;
pub mod target;
pub mod trust_domain;
pub mod wire;
pub mod x509;
