//! What the tests against the real kernel share: a runner for cases on one lab, the lab with its
//! servers, and a bare client of the Workload API.

pub mod net;
pub mod runner;
pub mod workload;
