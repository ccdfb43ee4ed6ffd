//! How often something happened.

use std::collections::VecDeque;

use super::is_within;

/// A sliding count: at most one number for each bucket of the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bucket and count, oldest first.
    cells: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Counts {
    /// Adds `count` in a bucket, and says how many there are in the window that ends with `head`.
    pub fn add(&mut self, bucket: u64, count: u64, head: u64) -> u64 {
        self.expire(head);
        if is_within(bucket, head) {
            let at = self.cells.partition_point(|(cell, _)| *cell < bucket);
            match self.cells.get_mut(at) {
                Some((cell, held)) if *cell == bucket => *held = held.saturating_add(count),
                _ => self.cells.insert(at, (bucket, count)),
            }
            self.sum = self.cells.iter().fold(0, |sum: u64, (_, held)| sum.saturating_add(*held));
        }
        self.sum
    }

    /// How many there are in the window that ends with `head`.
    pub fn sum(&mut self, head: u64) -> u64 {
        self.expire(head);
        self.sum
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.cells.clear();
        self.sum = 0;
    }

    /// Numbers that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.cells.len()
    }

    fn expire(&mut self, head: u64) {
        let before = self.cells.len();
        while self.cells.front().is_some_and(|(cell, _)| !is_within(*cell, head) && *cell <= head) {
            self.cells.pop_front();
        }
        if self.cells.len() != before {
            self.sum = self.cells.iter().fold(0, |sum: u64, (_, held)| sum.saturating_add(*held));
        }
    }
}
