//! Sequence numbers, and losses as records of their own: a reader who sees no gap and no loss record has seen
//! everything.

use enforcer_common::maps::LOST_CELLS;
use enforcer_proto::v1;

use super::names::loss_name;
use super::record::LOSS;

/// How many loss counters are followed: more than there are, so that a newer kernel side loses none.
const MAX_CELLS: usize = 2 * LOST_CELLS as usize;

/// Gives records their numbers and turns growing loss counters into records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequencer {
    node: String,
    next: u64,
    seen: Vec<u64>,
}

impl Sequencer {
    /// For a node. `first` is the first number; `counters` is what had been lost before, which is an older
    /// agent's to report.
    #[must_use]
    pub fn new(node: String, first: u64, counters: &[u64]) -> Self {
        Self { node, next: first, seen: counters.iter().copied().take(MAX_CELLS).collect() }
    }

    /// The record with the next number.
    #[must_use]
    pub fn number(&mut self, mut record: v1::Record) -> v1::Record {
        record.sequence = self.next;
        self.next = self.next.saturating_add(1);
        record
    }

    /// A numbered record for each cause that lost something since the last time. `counters` are the node's
    /// totals by cause; one that fell was started anew, and counts from zero.
    #[must_use]
    pub fn losses(&mut self, counters: &[u64], time: prost_types::Timestamp) -> Vec<v1::Record> {
        let mut records = Vec::new();
        self.seen.resize(self.seen.len().max(counters.len().min(MAX_CELLS)), 0);
        for cell in 0..self.seen.len() {
            let (Some(total), Some(seen)) = (counters.get(cell), self.seen.get_mut(cell)) else { continue };
            let lost = total.checked_sub(*seen).unwrap_or(*total);
            *seen = *total;
            if lost != 0 {
                let record = self.loss(&loss_name(cell), lost, time);
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

    #[test]
    fn a_loss_is_told_once_and_has_a_number() {
        let mut sequencer = Sequencer::new("n1".to_owned(), 1, &[0; 5]);
        assert_eq!(sequencer.number(v1::Record::default()).sequence, 1);
        let records = sequencer.losses(&[3, 0, 4, 0, 0], NOW);
        assert_eq!(told(&records), [(2, "event_full", 3), (3, "sample_full", 4)]);
        assert_eq!(
            (records[0].r#type.as_str(), records[0].node.as_str(), records[0].time),
            ("loss", "n1", Some(NOW))
        );
        assert!(sequencer.losses(&[3, 0, 4, 0, 0], NOW).is_empty());
        assert_eq!(told(&sequencer.losses(&[5, 0, 4, 0, 0], NOW)), [(4, "event_full", 2)]);
        assert_eq!(sequencer.next_number(), 5);
    }

    #[test]
    fn what_was_lost_before_the_start_is_not_told_again() {
        let mut sequencer = Sequencer::new(String::new(), 1, &[9, 9]);
        assert_eq!(told(&sequencer.losses(&[9, 10], NOW)), [(1, "event_rate", 1)]);
    }

    #[test]
    fn a_counter_that_fell_was_started_anew() {
        let mut sequencer = Sequencer::new(String::new(), 1, &[100]);
        assert_eq!(told(&sequencer.losses(&[2], NOW)), [(1, "event_full", 2)]);
    }

    #[test]
    fn a_shorter_answer_loses_no_memory_and_a_longer_one_is_bounded() {
        let mut sequencer = Sequencer::new(String::new(), 1, &[1, 1]);
        assert!(sequencer.losses(&[], NOW).is_empty());
        assert!(sequencer.losses(&[1, 1], NOW).is_empty());
        let many = sequencer.losses(&[1; 100], NOW);
        assert_eq!(many.len(), MAX_CELLS - 2);
    }
}
