//! Sequence numbers, and losses as records of their own: a reader who sees no gap and no loss record has seen
//! everything.

use std::collections::BTreeMap;

use enforcer_common::identity;
use enforcer_proto::v1;

use super::names::loss_name;
use super::record::LOSS;
use crate::enforce::Loss;

/// How many totals are followed: more than the kernel's table holds.
const TOTALS_MAX: usize = 65_536;

/// Gives records their numbers and turns growing loss counters into records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequencer {
    node: String,
    next: u64,
    /// By source and cause.
    seen: BTreeMap<(u32, u32), u64>,
}

impl Sequencer {
    /// For a node. `first` is the first number; `totals` are what had been lost before, which is an older
    /// agent's to report.
    #[must_use]
    pub fn new(node: String, first: u64, totals: &[Loss]) -> Self {
        let seen =
            totals.iter().take(TOTALS_MAX).map(|loss| ((loss.source, loss.cause), loss.count)).collect();
        Self { node, next: first, seen }
    }

    /// The record with the next number.
    #[must_use]
    pub fn number(&mut self, mut record: v1::Record) -> v1::Record {
        record.sequence = self.next;
        self.next = self.next.saturating_add(1);
        record
    }

    /// A numbered record for each source and cause that lost something since the last time. `totals` are the
    /// node's; one that fell was started anew, and counts from zero. `name` says whose a source is.
    #[must_use]
    pub fn losses(
        &mut self,
        totals: &[Loss],
        time: prost_types::Timestamp,
        name: impl Fn(u32) -> v1::Endpoint,
    ) -> Vec<v1::Record> {
        let mut records = Vec::new();
        for Loss { source, cause, count } in totals.iter().copied() {
            let key = (source, cause);
            if self.seen.len() >= TOTALS_MAX && !self.seen.contains_key(&key) {
                continue;
            }
            let seen = self.seen.insert(key, count).unwrap_or(0);
            let lost = count.checked_sub(seen).unwrap_or(count);
            if lost != 0 {
                let source = (source != identity::UNKNOWN).then(|| name(source));
                let record = v1::Record { source, ..self.loss(&loss_name(cause), lost, time) };
                records.push(self.number(record));
            }
        }
        records
    }

    /// A record, not numbered, of something that was lost here and not in the kernel.
    #[must_use]
    pub fn loss(&self, cause: &str, lost: u64, time: prost_types::Timestamp) -> v1::Record {
        loss(&self.node, cause, lost, time)
    }

    /// The number that the next record will have.
    #[must_use]
    pub const fn next_number(&self) -> u64 {
        self.next
    }
}

/// A record of a loss, not numbered.
#[must_use]
pub fn loss(node: &str, cause: &str, lost: u64, time: prost_types::Timestamp) -> v1::Record {
    v1::Record {
        time: Some(time),
        node: node.to_owned(),
        r#type: LOSS.to_owned(),
        reason: cause.to_owned(),
        lost_before: lost,
        ..v1::Record::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: prost_types::Timestamp = prost_types::Timestamp { seconds: 7, nanos: 0 };

    fn told(records: &[v1::Record]) -> Vec<(u64, &str, u64)> {
        records.iter().map(|record| (record.sequence, record.reason.as_str(), record.lost_before)).collect()
    }

    fn name(source: u32) -> v1::Endpoint {
        v1::Endpoint { identity: format!("t{source}"), ..v1::Endpoint::default() }
    }

    /// Totals of the causes from 0 up, of one source.
    fn of(source: u32, counts: &[u64]) -> Vec<Loss> {
        (0..).zip(counts).map(|(cause, count)| Loss { source, cause, count: *count }).collect()
    }

    #[test]
    fn a_loss_is_told_once_and_has_a_number() {
        let mut sequencer = Sequencer::new("n1".to_owned(), 1, &of(16, &[0; 5]));
        assert_eq!(sequencer.number(v1::Record::default()).sequence, 1);
        let records = sequencer.losses(&of(16, &[3, 0, 4, 0, 0]), NOW, name);
        assert_eq!(told(&records), [(2, "event_full", 3), (3, "sample_full", 4)]);
        assert_eq!(
            (records[0].r#type.as_str(), records[0].node.as_str(), records[0].time),
            ("loss", "n1", Some(NOW))
        );
        assert!(sequencer.losses(&of(16, &[3, 0, 4, 0, 0]), NOW, name).is_empty());
        assert_eq!(told(&sequencer.losses(&of(16, &[5, 0, 4, 0, 0]), NOW, name)), [(4, "event_full", 2)]);
        assert_eq!(sequencer.next_number(), 5);
    }

    #[test]
    fn sources_are_counted_apart() {
        let mut sequencer = Sequencer::new(String::new(), 1, &of(16, &[7]));
        let both: Vec<Loss> = [of(16, &[8]), of(17, &[5])].concat();
        let records = sequencer.losses(&both, NOW, name);
        assert_eq!(told(&records), [(1, "event_full", 1), (2, "event_full", 5)]);
        assert_eq!(records[1].source, Some(name(17)));
        assert_eq!(sequencer.losses(&of(identity::UNKNOWN, &[1]), NOW, name)[0].source, None);
    }

    #[test]
    fn what_was_lost_before_the_start_is_not_told_again() {
        let mut sequencer = Sequencer::new(String::new(), 1, &of(0, &[9, 9]));
        assert_eq!(told(&sequencer.losses(&of(0, &[9, 10]), NOW, name)), [(1, "event_rate", 1)]);
    }

    #[test]
    fn a_counter_that_fell_was_started_anew() {
        let mut sequencer = Sequencer::new(String::new(), 1, &of(0, &[100]));
        assert_eq!(told(&sequencer.losses(&of(0, &[2]), NOW, name)), [(1, "event_full", 2)]);
    }

    #[test]
    fn a_shorter_answer_loses_no_memory_and_a_longer_one_is_bounded() {
        let mut sequencer = Sequencer::new(String::new(), 1, &of(0, &[1, 1]));
        assert!(sequencer.losses(&[], NOW, name).is_empty());
        assert!(sequencer.losses(&of(0, &[1, 1]), NOW, name).is_empty());
        let many = sequencer.losses(&of(0, &vec![1; TOTALS_MAX + 100]), NOW, name);
        assert_eq!(many.len(), TOTALS_MAX - 2);
    }
}
