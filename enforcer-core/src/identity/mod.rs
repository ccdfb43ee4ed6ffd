//! Names of workloads and services, as the SPIFFE standards spell them.

pub mod spiffe_id;
