//! Many sources, each in order, as one stream in order. A source is opened when its first number is reached, so that what
//! is held grows with how many overlap and not with how many there are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use enforcer_core::event::redact::join;
use enforcer_proto::v1;

use super::gap::Gap;
use super::log::FrameSource;
use super::sealed::FileSource;

/// Files that are kept open at once; others are opened anew for each batch.
const OPEN_MOST: usize = 64;

/// Where records come from.
pub(super) enum Source {
    File(Box<FileSource>),
    Frame(Box<FrameSource>),
    Gap(Gap),
}

/// A source that was not needed yet.
pub(super) struct Waiting {
    /// No record of it has a lower number.
    pub(super) first: u64,
    /// Which tenant's.
    pub(super) tenant: String,
    pub(super) source: Source,
}

/// One stream out of many.
pub(super) struct Merge {
    /// The last one is the next.
    waiting: Vec<Waiting>,
    open: BTreeMap<usize, Open>,
    opened: usize,
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    out: VecDeque<v1::Record>,
}

struct Open {
    tenant: String,
    file: Option<Box<FileSource>>,
    records: VecDeque<v1::Record>,
    /// Behind the records.
    gap: Option<Gap>,
}

impl Merge {
    pub(super) fn new(mut waiting: Vec<Waiting>) -> Self {
        waiting.sort_by_key(|source| Reverse(source.first));
        Self { waiting, open: BTreeMap::new(), opened: 0, heads: BinaryHeap::new(), out: VecDeque::new() }
    }

    /// Opens every source that could have the lowest number.
    fn reach(&mut self) {
        while let Some(next) = self.waiting.last() {
            if self.heads.peek().is_some_and(|Reverse((lowest, _))| next.first > *lowest) {
                return;
            }
            let Some(next) = self.waiting.pop() else { return };
            let mut open = Open { tenant: next.tenant, file: None, records: VecDeque::new(), gap: None };
            match next.source {
                Source::File(file) => open.file = Some(file),
                Source::Frame(frame) => match frame.open() {
                    Ok(records) => open.records.extend(records),
                    Err(gap) => open.gap = Some(gap),
                },
                Source::Gap(gap) => open.gap = Some(gap),
            }
            self.opened += 1;
            self.settle(self.opened, open, next.first);
        }
    }

    /// Puts a source where its next record belongs, if it has one.
    fn settle(&mut self, number: usize, mut open: Open, at_least: u64) {
        if open.records.is_empty()
            && let Some(file) = &mut open.file
        {
            open.gap = file.refill(&mut open.records).or(open.gap);
            if self.open.values().filter(|open| is_open(open)).count() >= OPEN_MOST {
                file.close();
            }
        }
        let next = match (open.records.front(), &open.gap) {
            (Some(record), _) => record.sequence,
            (None, Some(gap)) => gap.first.max(at_least),
            (None, None) => return,
        };
        self.heads.push(Reverse((next, number)));
        self.open.insert(number, open);
    }

    /// The records with the lowest number, each of another tenant, into `out`; false at the end.
    fn step(&mut self) -> bool {
        self.reach();
        let Some(Reverse((lowest, _))) = self.heads.peek().copied() else { return false };
        let mut same: Vec<(String, v1::Record)> = Vec::new();
        while let Some(Reverse((next, number))) = self.heads.peek().copied() {
            if next != lowest {
                break;
            }
            self.heads.pop();
            let Some(mut open) = self.open.remove(&number) else { continue };
            match open.records.pop_front() {
                Some(record) if same.iter().all(|(tenant, _)| *tenant != open.tenant) => {
                    same.push((open.tenant.clone(), record));
                }
                // The log and a sealed file both have it.
                Some(_) => {}
                None => self.out.extend(open.gap.take().map(Gap::record)),
            }
            self.settle(number, open, lowest);
            self.reach();
        }
        self.out.extend(joined(same.into_iter().map(|(_, record)| record).collect()));
        true
    }
}

impl Iterator for Merge {
    type Item = v1::Record;

    fn next(&mut self) -> Option<v1::Record> {
        while self.out.is_empty() && self.step() {}
        self.out.pop_front()
    }
}

fn is_open(open: &Open) -> bool {
    open.file.as_ref().is_some_and(|file| file.is_open())
}

/// Two halves are one record. Whatever else shares a number is given as it is.
fn joined(same: Vec<v1::Record>) -> Vec<v1::Record> {
    match same.as_slice() {
        [one, other] => join(one, other).map_or(same, |whole| vec![whole]),
        _ => same,
    }
}
