//! What the SPIFFE Workload API gives a workload: where it is asked, what is believed, and how it is kept in files.

pub(crate) mod directory;
pub(crate) mod endpoint;
pub(crate) mod files;
mod generation;
pub(crate) mod leaf;
pub(crate) mod update;
