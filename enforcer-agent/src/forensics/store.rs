//! The records that are held: two rings with one order, so that samples of allowed flows never push out what
//! a person must see. Pushing out is counted, for each tenant by itself, and each reader is told what it missed.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use enforcer_core::event::redact::viewers;
use enforcer_core::event::sort::is_sample;
use enforcer_core::hubble::flow::is_flow;
use enforcer_proto::v1;

/// Tenants whose missed records are counted.
const TENANTS_MAX: usize = 65_536;

/// What is held, and what was pushed out, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records ever stored.
    pub stored: u64,
    /// Records held now.
    pub held: u64,
    /// Records of refusals, devices, services and losses that were pushed out by later ones.
    pub evicted: u64,
    /// The same of allowed flows.
    pub evicted_samples: u64,
    /// Flows ever stored, tunnelled ones too.
    pub flows: u64,
}

/// How far a reader has come in each ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    security: u64,
    samples: u64,
}

/// What a reader gets at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    /// How many records were pushed out before the reader came to them.
    pub(super) missed: u64,
    /// In the order of their numbers.
    pub(super) records: Vec<Arc<v1::Record>>,
    /// Where to go on.
    pub(super) next: Cursor,
}

/// What was pushed out of a tenant's records, and that would be one's own to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// How many.
    pub(super) count: u64,
    /// The number of the last one.
    pub(super) last: u64,
}

/// A ring whose places are numbered from the first record ever.
struct Ring {
    records: VecDeque<Arc<v1::Record>>,
    capacity: usize,
    evicted: u64,
}

impl Ring {
    fn new(capacity: usize) -> Self {
        Self { records: VecDeque::new(), capacity: capacity.max(1), evicted: 0 }
    }

    /// What was pushed out for it.
    fn push(&mut self, record: Arc<v1::Record>) -> Option<Arc<v1::Record>> {
        let mut gone = None;
        if self.records.len() >= self.capacity {
            gone = self.records.pop_front();
            self.evicted += 1;
        }
        self.records.push_back(record);
        gone
    }

    fn end(&self) -> u64 {
        self.evicted + count(self.records.len())
    }

    /// The place of the first record behind a number.
    fn place_after(&self, sequence: u64) -> u64 {
        self.evicted + count(self.records.partition_point(|record| record.sequence <= sequence))
    }

    /// The record at `place`, if that is before `end`.
    fn before(&self, place: u64, end: u64) -> Option<&Arc<v1::Record>> {
        if place >= end {
            return None;
        }
        let index = usize::try_from(place.checked_sub(self.evicted)?).ok()?;
        self.records.get(index)
    }
}

pub(super) struct Store {
    security: Ring,
    samples: Ring,
    gone: HashMap<Box<str>, Gone>,
    /// The number of the last record.
    newest: u64,
    flows: u64,
}

impl Store {
    pub(super) fn new(capacity: usize) -> Self {
        let samples = capacity / 4;
        Self {
            security: Ring::new(capacity - samples),
            samples: Ring::new(samples),
            gone: HashMap::new(),
            newest: 0,
            flows: 0,
        }
    }

    pub(super) fn push(&mut self, record: Arc<v1::Record>) {
        self.newest = record.sequence;
        self.flows += u64::from(is_flow(&record));
        let ring = if is_sample(&record) { &mut self.samples } else { &mut self.security };
        if let Some(gone) = ring.push(record) {
            self.count_gone(&gone);
        }
    }

    fn count_gone(&mut self, record: &v1::Record) {
        for tenant in viewers(record) {
            if let Some(gone) = self.gone.get_mut(tenant) {
                *gone = Gone { count: gone.count + 1, last: gone.last.max(record.sequence) };
            } else if self.gone.len() < TENANTS_MAX {
                self.gone.insert(tenant.into(), Gone { count: 1, last: record.sequence });
            }
        }
    }

    /// What was pushed out of a tenant's records.
    pub(super) fn gone(&self, tenant: &str) -> Gone {
        self.gone.get(tenant).copied().unwrap_or_default()
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            stored: self.security.end() + self.samples.end(),
            held: count(self.security.records.len() + self.samples.records.len()),
            evicted: self.security.evicted,
            evicted_samples: self.samples.evicted,
            flows: self.flows,
        }
    }

    pub(super) const fn oldest(&self) -> Cursor {
        Cursor { security: self.security.evicted, samples: self.samples.evicted }
    }

    pub(super) fn newest(&self) -> Cursor {
        Cursor { security: self.security.end(), samples: self.samples.end() }
    }

    /// Where the records behind a number begin, and how many of those are no longer held.
    pub(super) fn after(&self, sequence: u64) -> (Cursor, u64) {
        let cursor = Cursor {
            security: self.security.place_after(sequence),
            samples: self.samples.place_after(sequence),
        };
        let held = (self.security.end() - cursor.security) + (self.samples.end() - cursor.samples);
        // Numbers have no gaps; a node that began to number anew has none behind.
        let first = self.newest.saturating_sub(self.totals().stored);
        (cursor, self.newest.saturating_sub(sequence.max(first)).saturating_sub(held))
    }

    /// At most `limit` records from `cursor` on, and before `end` if there is one.
    pub(super) fn read(&self, cursor: Cursor, end: Option<Cursor>, limit: usize) -> Page {
        let oldest = self.oldest();
        let end = end.unwrap_or(self.newest());
        let mut next = Cursor {
            security: cursor.security.max(oldest.security).min(end.security),
            samples: cursor.samples.max(oldest.samples).min(end.samples),
        };
        let missed =
            next.security.saturating_sub(cursor.security) + next.samples.saturating_sub(cursor.samples);
        let mut records = Vec::new();
        while records.len() < limit {
            let record = self.security.before(next.security, end.security);
            let sample = self.samples.before(next.samples, end.samples);
            let record = match (record, sample) {
                (None, None) => break,
                (Some(record), Some(sample)) if sample.sequence < record.sequence => {
                    next.samples += 1;
                    sample
                }
                (Some(record), _) => {
                    next.security += 1;
                    record
                }
                (None, Some(sample)) => {
                    next.samples += 1;
                    sample
                }
            };
            records.push(Arc::clone(record));
        }
        Page { missed, records, next }
    }

    /// Everything that is held, and where that ends.
    pub(super) fn held(&self) -> (Vec<Arc<v1::Record>>, Cursor) {
        let page = self.read(self.oldest(), None, usize::MAX);
        (page.records, page.next)
    }
}

/// Where a reader of the last `count` records that pass begins, and how many of `held` lie before. `newest` is where
/// `held` ends.
pub(super) fn cursor_at_last(
    held: &[Arc<v1::Record>],
    newest: Cursor,
    passes: impl Fn(&Arc<v1::Record>) -> bool,
    count: u32,
) -> (Cursor, usize) {
    let mut cursor = newest;
    let mut wanted = count;
    let mut before = held.len();
    for record in held.iter().rev() {
        if wanted == 0 {
            break;
        }
        before -= 1;
        wanted -= u32::from(passes(record));
        if is_sample(record) {
            cursor.samples -= 1;
        } else {
            cursor.security -= 1;
        }
    }
    (cursor, before)
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
