//! How many different values there were.

use std::collections::HashMap;
use std::net::IpAddr;

use super::is_within;
use crate::detect::limits::DISTINCT_MAX;

/// What is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// An address.
    Address(IpAddr),
    /// A port.
    Port(u32),
}

/// A sliding count of different values: the [`DISTINCT_MAX`] that were seen last, each with the bucket in which it was
/// seen last. So the count is exact up to that many, and "at least" from there on; nothing is estimated.
#[derive(Clone, Debug, Default)]
pub struct Distinct {
    last_seen: HashMap<Value, u64>,
    pruned: u64,
    /// Nothing that is held was seen last before this bucket.
    none_before: u64,
}

impl Distinct {
    /// Adds a value in a bucket, and says how many different ones there are in the window that ends with `head`.
    pub fn add(&mut self, value: Value, bucket: u64, head: u64) -> u64 {
        self.expire(head);
        if is_within(bucket, head) {
            let is_known = self.last_seen.contains_key(&value);
            if !is_known && self.last_seen.len() >= DISTINCT_MAX {
                self.forget_one_before(bucket);
            }
            if is_known || self.last_seen.len() < DISTINCT_MAX {
                self.none_before = self.none_before.min(bucket);
                let seen = self.last_seen.entry(value).or_insert(bucket);
                *seen = bucket.max(*seen);
            }
        }
        self.count()
    }

    /// How many there are, as of the last [`Self::add`]; [`DISTINCT_MAX`] means "at least".
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.last_seen.len()).unwrap_or(u64::MAX)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Values that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.last_seen.len()
    }

    /// Once a bucket: within one, nothing can leave the window.
    fn expire(&mut self, head: u64) {
        if head != self.pruned {
            self.last_seen.retain(|_, bucket| is_within(*bucket, head));
            self.pruned = head;
        }
    }

    /// Makes room for a value that was seen in `bucket`, where one that was seen earlier can go for it.
    fn forget_one_before(&mut self, bucket: u64) {
        if self.none_before >= bucket {
            return;
        }
        let oldest =
            self.last_seen.iter().min_by_key(|(_, seen)| **seen).map(|(value, seen)| (*value, *seen));
        match oldest {
            Some((value, seen)) if seen < bucket => _ = self.last_seen.remove(&value),
            Some((_, seen)) => self.none_before = seen,
            None => {}
        }
    }
}
