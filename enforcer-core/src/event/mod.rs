//! Kernel events: from bytes to records with names. `decode → sequence → record → filter`.

pub mod batch;
pub mod clock;
pub mod decode;
pub mod filter;
pub mod gaps;
pub mod json;
pub mod names;
pub mod record;
pub mod redact;
pub mod scene;
pub mod sequence;
pub mod sort;
pub mod totals;
mod wire;
