//! Sliding windows. Time is cut into buckets; a window is the bucket of now and those before it, as many as there are.
//! Whatever comes late goes into the bucket it belongs to, as long as that is still in the window.

mod counts;
mod distinct;
#[cfg(test)]
mod tests;

pub use counts::Counts;
pub use distinct::{Distinct, Value};

use super::limits::BUCKETS;

const SECOND_NS: u64 = 1_000_000_000;

/// A window's length in buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    width_ns: u64,
    length_ns: u64,
}

impl Span {
    /// Of so many seconds, at least one.
    #[must_use]
    pub fn new(seconds: u64) -> Self {
        let length_ns = seconds.max(1).saturating_mul(SECOND_NS);
        Self { width_ns: length_ns / BUCKETS, length_ns }
    }

    /// The number of the bucket of an instant.
    #[must_use]
    pub const fn bucket(&self, at_ns: u64) -> u64 {
        at_ns / self.width_ns
    }

    /// The number of the whole window, one after the other, of an instant.
    #[must_use]
    pub const fn period(&self, at_ns: u64) -> u64 {
        at_ns / self.length_ns
    }
}

/// True when `bucket` is within the window that ends with `head`.
const fn is_within(bucket: u64, head: u64) -> bool {
    bucket <= head && head - bucket < BUCKETS
}
