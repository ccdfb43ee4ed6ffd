//! A tenant's chain: one line for every file that was sealed, removed or lost, each with the hash of the line before.
//! It names bytes and sequence numbers; what a record means is not known here.

mod line;
mod read;
mod write;

pub use line::{BLOCK_BYTES, BLOCK_DIGITS, Line, Lost, LostWhy, Removed, RemovedWhy, RowGroup, Sealed, What};
pub use read::{Lines, RawLine, live};
pub(crate) use write::{Chain, Facts};

/// A chain's file, in its tenant's directory.
pub const NAME: &str = "chain.jsonl";
/// Longest line: the blocks of a file of 8 GiB.
pub const LINE_MAX_BYTES: usize = 64 << 20;
