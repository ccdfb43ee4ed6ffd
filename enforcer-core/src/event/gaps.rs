//! The processors' own numbers, and what is missing between them. The kernel numbers every event that was worth telling,
//! by processor and ring, also those it then lost: so what is missing must be what was counted as lost.

use std::collections::BTreeMap;

use enforcer_common::event::{Header, RING_EVENTS, RING_PROCESSES, RING_SAMPLES};
use enforcer_common::maps::{
    LOST_EVENT_FULL, LOST_EVENT_RATE, LOST_PROCESS_FULL, LOST_PROCESS_RATE, LOST_SAMPLE_FULL,
    LOST_SAMPLE_RATE,
};

use crate::enforce::Loss;

/// Processors and rings that are followed at most.
const LANES_MAX: usize = 3 * 8_192;

/// One processor's numbers in one ring.
#[derive(Clone, Copy, Debug)]
struct Lane {
    first: u64,
    last: u64,
    came: u64,
}

impl Lane {
    const fn missing(&self) -> u64 {
        (self.last - self.first + 1).saturating_sub(self.came)
    }
}

/// A ring from which more is missing than was counted as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unaccounted {
    /// `RING_*`.
    pub ring: u16,
    /// How many events.
    pub count: u64,
}

/// What is missing.
#[derive(Clone, Debug)]
pub struct Gaps {
    /// What is older is an earlier reader's.
    from_boot_ns: u64,
    lanes: BTreeMap<(u16, u16), Lane>,
    /// By ring: totals of losses when it was begun.
    before: BTreeMap<u16, u64>,
    /// By ring: what was missing when losses were looked at last, and the time before that: what was read now was read
    /// after the latter for sure.
    latest: BTreeMap<u16, u64>,
    missing: BTreeMap<u16, u64>,
    /// What of it was told.
    told: BTreeMap<u16, u64>,
}

impl Gaps {
    /// From an instant of the boot clock on, with the totals of losses then.
    #[must_use]
    pub fn new(from_boot_ns: u64, losses: &[Loss]) -> Self {
        Self {
            from_boot_ns,
            lanes: BTreeMap::new(),
            before: by_ring(losses),
            latest: BTreeMap::new(),
            missing: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    /// Takes an event's header; says how many events of its processor and ring are missing before it.
    pub fn take(&mut self, header: &Header) -> u64 {
        if header.boot_ns < self.from_boot_ns || header.sequence == 0 {
            return 0;
        }
        let key = (header.ring, header.cpu);
        if self.lanes.len() >= LANES_MAX && !self.lanes.contains_key(&key) {
            return 0;
        }
        let sequence = header.sequence;
        let fresh = Lane { first: sequence, last: sequence.saturating_sub(1), came: 0 };
        let lane = self.lanes.entry(key).or_insert(fresh);
        lane.came = lane.came.saturating_add(1);
        if sequence <= lane.last {
            // An interrupt told of something while this was being written; it counts as come, unless the numbers began
            // anew.
            lane.first = lane.first.min(sequence);
            return 0;
        }
        let gap = sequence - lane.last - 1;
        lane.last = sequence;
        gap
    }

    /// Compares with totals of losses that were read since this was asked the last time: rings from which more had been
    /// missing, the time before, than is counted by now. Each missing event is told once.
    pub fn check(&mut self, losses: &[Loss]) -> Vec<Unaccounted> {
        let counted = by_ring(losses);
        let mut found = Vec::new();
        for (ring, missing) in &self.missing {
            let of = |totals: &BTreeMap<u16, u64>| totals.get(ring).copied().unwrap_or(0);
            let explained = of(&counted).saturating_sub(of(&self.before)).saturating_add(of(&self.told));
            let count = missing.saturating_sub(explained);
            if count != 0 {
                *self.told.entry(*ring).or_default() += count;
                found.push(Unaccounted { ring: *ring, count });
            }
        }
        self.missing = std::mem::take(&mut self.latest);
        for ((ring, _), lane) in &self.lanes {
            let missing = self.latest.entry(*ring).or_default();
            *missing = missing.saturating_add(lane.missing());
        }
        found
    }
}

fn by_ring(losses: &[Loss]) -> BTreeMap<u16, u64> {
    let mut totals = BTreeMap::new();
    for loss in losses {
        let ring = match loss.cause {
            LOST_EVENT_FULL | LOST_EVENT_RATE => RING_EVENTS,
            LOST_SAMPLE_FULL | LOST_SAMPLE_RATE => RING_SAMPLES,
            LOST_PROCESS_FULL | LOST_PROCESS_RATE => RING_PROCESSES,
            _ => continue,
        };
        let total: &mut u64 = totals.entry(ring).or_default();
        *total = total.saturating_add(loss.count);
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cpu: u16, sequence: u64) -> Header {
        Header { boot_ns: 100, cpu, sequence, ..Header::default() }
    }

    fn lost(count: u64) -> [Loss; 1] {
        [Loss { source: 16, cause: LOST_EVENT_RATE, count }]
    }

    #[test]
    fn each_processor_counts_by_itself() {
        let mut gaps = Gaps::new(0, &[]);
        let told: Vec<u64> = [(0, 7), (1, 1), (0, 8), (0, 12), (1, 2)]
            .map(|(cpu, sequence)| gaps.take(&header(cpu, sequence)))
            .into();
        assert_eq!(told, [0, 0, 0, 3, 0]);
    }

    #[test]
    fn what_is_missing_and_counted_is_accounted_for() {
        let mut gaps = Gaps::new(0, &lost(50));
        gaps.take(&header(0, 1));
        gaps.take(&header(0, 5));
        assert_eq!(gaps.check(&lost(50)), []);
        assert_eq!(gaps.check(&lost(51)), []);
        assert_eq!(gaps.check(&lost(53)), []);
        assert_eq!(gaps.check(&lost(53)), []);
    }

    #[test]
    fn what_is_missing_and_not_counted_is_told_once() {
        let mut gaps = Gaps::new(0, &lost(50));
        gaps.take(&header(0, 1));
        gaps.take(&header(0, 5));
        gaps.check(&lost(51));
        gaps.check(&lost(51));
        assert_eq!(gaps.check(&lost(51)), [Unaccounted { ring: RING_EVENTS, count: 2 }]);
        assert_eq!(gaps.check(&lost(51)), []);
    }

    #[test]
    fn what_comes_late_is_not_missing() {
        let mut gaps = Gaps::new(0, &[]);
        for sequence in [1, 3, 2, 4] {
            gaps.take(&header(0, sequence));
        }
        gaps.check(&[]);
        gaps.check(&[]);
        assert_eq!(gaps.check(&[]), []);
    }

    #[test]
    fn an_earlier_readers_events_are_not_counted() {
        let mut gaps = Gaps::new(200, &[]);
        gaps.take(&header(0, 1));
        assert_eq!(gaps.take(&Header { boot_ns: 300, ..header(0, 9) }), 0);
        gaps.check(&[]);
        gaps.check(&[]);
        assert_eq!(gaps.check(&[]), []);
    }
}
