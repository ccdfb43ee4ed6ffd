//! The tunnel room: carries flows of workloads over mutual TLS.

pub mod hbone;
