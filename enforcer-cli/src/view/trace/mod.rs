//! What the node recorded and kept: status, sums, receipts and findings.

pub(crate) mod receipt;
pub(crate) mod status;
pub(crate) mod summary;
pub(crate) mod verify;
