//! What one rule holds of one tenant: its subjects within bounds, what it learned, and whom it spoke of lately.

use std::collections::HashMap;
use std::sync::Arc;

use super::baseline::{Baseline, Usual};
use super::facts::{Subject, Tick};
use super::limits::{ALERTS_MAX, DISTINCT_MAX, SUBJECTS_MAX, VALUES_MAX};
use super::rule::{Pattern, Terms};
use super::window::{Counts, Distinct, Span};

const SECOND_NS: u64 = 1_000_000_000;

/// It is too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) value: u64,
    /// There are more than can be told apart.
    pub(super) at_least: bool,
    pub(super) limit: u64,
    /// What was learned, and from how many windows.
    pub(super) usual: Option<(Usual, u64)>,
    /// How often it was too much since the last alert, without one.
    pub(super) held_back: u64,
}

#[derive(Debug)]
enum Tally {
    Counts(Counts),
    Distinct(Distinct),
}

#[derive(Debug)]
struct Entry {
    tally: Tally,
    touched: u64,
    quiet_until_ns: u64,
    held_back: u64,
}

/// What is learned from whole windows, one after the other.
#[derive(Debug)]
pub(super) struct Learner {
    pub(super) baseline: Baseline,
    period: u64,
    /// The most that the sliding window held in this period.
    peak: u64,
    /// It was watched from the period's beginning on.
    is_whole: bool,
}

/// One rule's page of one tenant.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) terms: Arc<Terms>,
    pattern: Pattern,
    span: Span,
    subjects: HashMap<Subject, Entry>,
    touches: u64,
    values: usize,
    /// Subjects that were pushed out.
    pub(super) pushed_out: u64,
    pub(super) learner: Option<Learner>,
    /// Alerts since a moment.
    spoken: (u64, u32),
}

impl Page {
    pub(super) fn new(pattern: Pattern, terms: Arc<Terms>, baseline: Option<Baseline>, now: u64) -> Self {
        let span = Span::new(terms.window_s);
        let learner = terms.factor.map(|_| Learner {
            baseline: baseline.unwrap_or_default(),
            period: span.period(now),
            peak: 0,
            is_whole: false,
        });
        Self {
            terms,
            pattern,
            span,
            subjects: HashMap::new(),
            touches: 0,
            values: 0,
            pushed_out: 0,
            learner,
            spoken: (0, 0),
        }
    }

    /// Counts, and says when it is too much and nobody was told lately.
    pub(super) fn add(&mut self, subject: Subject, tick: Tick, at: u64, now: u64) -> Option<Over> {
        self.tick(now);
        let (bucket, head) = (self.span.bucket(at), self.span.bucket(now));
        let value = self.entry(&subject)?.add(tick, bucket, head);
        self.make_room();
        if let Some(learner) = &mut self.learner {
            learner.peak = learner.peak.max(value);
        }
        let over = self.over(value)?;
        self.speak(&subject, over, now)
    }

    fn entry(&mut self, subject: &Subject) -> Option<Measured<'_>> {
        if !self.subjects.contains_key(subject) {
            if self.subjects.len() >= SUBJECTS_MAX {
                self.push_out();
            }
            let is_distinct = self.pattern.is_distinct();
            let tally = if is_distinct {
                Tally::Distinct(Distinct::default())
            } else {
                Tally::Counts(Counts::default())
            };
            let entry = Entry { tally, touched: 0, quiet_until_ns: 0, held_back: 0 };
            self.subjects.insert(subject.clone(), entry);
        }
        self.touches += 1;
        let entry = self.subjects.get_mut(subject)?;
        entry.touched = self.touches;
        Some(Measured { entry, values: &mut self.values })
    }

    /// A subject with very many values pushes out others of its tenant, the stalest first, and never itself.
    fn make_room(&mut self) {
        while self.values > VALUES_MAX && self.subjects.len() > 1 {
            self.push_out();
        }
    }

    /// The stalest quarter goes at once, so that a flood of new subjects costs each of them little.
    fn push_out(&mut self) {
        let mut touched: Vec<u64> = self.subjects.values().map(|entry| entry.touched).collect();
        let quarter = touched.len() / 4;
        if touched.is_empty() {
            return;
        }
        let (_, border, _) = touched.select_nth_unstable(quarter);
        let border = *border;
        let newest = self.touches;
        self.subjects.retain(|_, entry| entry.touched > border || entry.touched == newest);
        self.values = self.subjects.values().map(|entry| entry.tally.held()).sum();
        self.pushed_out += u64::try_from(touched.len() - self.subjects.len()).unwrap_or(0);
    }

    fn over(&self, value: u64) -> Option<Over> {
        let terms = &self.terms;
        let at_least = self.pattern.is_distinct() && value >= u64::try_from(DISTINCT_MAX).unwrap_or(u64::MAX);
        let Some(Learner { baseline, .. }) = &self.learner else {
            let over = Over { value, at_least, limit: terms.threshold, usual: None, held_back: 0 };
            return (value >= terms.threshold).then_some(over);
        };
        let limit = baseline.limit_under(terms)?;
        let usual = baseline.usual().map(|usual| (usual, baseline.samples()));
        (value > limit).then_some(Over { value, at_least, limit, usual, held_back: 0 })
    }

    /// Not again for the same within the cool-down, and not too often for one tenant.
    fn speak(&mut self, subject: &Subject, over: Over, now: u64) -> Option<Over> {
        let cooldown_ns = self.terms.cooldown_s.saturating_mul(SECOND_NS);
        let entry = self.subjects.get_mut(subject)?;
        let (since, spoken) = &mut self.spoken;
        if now.saturating_sub(*since) >= cooldown_ns {
            (*since, *spoken) = (now, 0);
        }
        if now < entry.quiet_until_ns || *spoken >= ALERTS_MAX {
            entry.held_back += 1;
            return None;
        }
        *spoken += 1;
        entry.quiet_until_ns = now.saturating_add(cooldown_ns);
        Some(Over { held_back: std::mem::take(&mut entry.held_back), ..over })
    }

    /// Learns from a period that is over. One that was not watched whole teaches nothing.
    pub(super) fn tick(&mut self, now: u64) {
        let Some(learner) = &mut self.learner else { return };
        let period = self.span.period(now);
        if period == learner.period {
            return;
        }
        let follows = period == learner.period.saturating_add(1);
        if follows && learner.is_whole {
            learner.baseline.learn(learner.peak, &self.terms);
        }
        learner.is_whole = follows;
        learner.period = period;
        learner.peak = 0;
    }

    /// The latest value, as far as it still holds.
    pub(super) fn latest(&mut self, now: u64) -> u64 {
        let head = self.span.bucket(now);
        match self.subjects.get_mut(&Subject::Whole).map(|entry| &mut entry.tally) {
            Some(Tally::Counts(counts)) => counts.sum(head),
            Some(Tally::Distinct(_)) | None => 0,
        }
    }

    /// The clock was set back: what was counted has no place any more, and whoever was told of stays told of.
    pub(super) fn rewind(&mut self, now: u64, back_ns: u64) {
        for entry in self.subjects.values_mut() {
            entry.tally.clear();
            entry.quiet_until_ns = entry.quiet_until_ns.saturating_sub(back_ns);
        }
        self.values = 0;
        self.spoken.0 = self.spoken.0.saturating_sub(back_ns);
        if let Some(learner) = &mut self.learner {
            (learner.period, learner.peak, learner.is_whole) = (self.span.period(now), 0, false);
        }
    }

    pub(super) fn subjects(&self) -> usize {
        self.subjects.len()
    }

    pub(super) const fn values(&self) -> usize {
        self.values
    }
}

/// An entry, and the sum that its values belong to.
struct Measured<'p> {
    entry: &'p mut Entry,
    values: &'p mut usize,
}

impl Measured<'_> {
    fn add(self, tick: Tick, bucket: u64, head: u64) -> u64 {
        let before = self.entry.tally.held();
        let value = match (&mut self.entry.tally, tick) {
            (Tally::Counts(counts), Tick::Count(count)) => counts.add(bucket, count, head),
            (Tally::Distinct(distinct), Tick::Value(value)) => distinct.add(value, bucket, head),
            // A pattern counts one kind of thing.
            (Tally::Counts(_), Tick::Value(_)) | (Tally::Distinct(_), Tick::Count(_)) => 0,
        };
        *self.values = self.values.saturating_sub(before).saturating_add(self.entry.tally.held());
        value
    }
}

impl Tally {
    fn held(&self) -> usize {
        match self {
            Self::Counts(counts) => counts.held(),
            Self::Distinct(distinct) => distinct.held(),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Counts(counts) => counts.clear(),
            Self::Distinct(distinct) => distinct.clear(),
        }
    }
}
