//! What the tests against the real kernel share: a runner for cases on one lab, and the lab with its servers.

pub mod net;
pub mod runner;
