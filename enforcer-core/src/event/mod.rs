//! Kernel events: from bytes to records with names. `decode → sequence → record → filter`.

pub mod batch;
pub mod decode;
pub mod filter;
pub mod json;
pub mod names;
pub mod record;
pub mod redact;
pub mod scene;
pub mod sequence;
pub mod sort;
mod wire;
