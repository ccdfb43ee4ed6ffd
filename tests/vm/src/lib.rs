//! What `cargo xtask vm` and the machine's first process say to each other: orders in a file of the initramfs, words
//! on a serial line.

mod orders;
mod word;

pub use orders::{Job, ORDERS, Orders};
pub use word::{End, LINE, Word};
