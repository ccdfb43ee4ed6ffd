//! Losses, which every client is told of, whatever it filters by.

use enforcer_proto::hubble::flow::{LostEvent, LostEventSource};
use enforcer_proto::v1;

/// Causes on the way out of the kernel.
const KERNEL: [&str; 10] = [
    "event_full",
    "event_rate",
    "sample_full",
    "sample_rate",
    "process_full",
    "process_rate",
    "counter_full",
    "flow_full",
    "handle_full",
    "touch_full",
];
/// What a reader missed because later records pushed it out.
const READER: [&str; 1] = ["observer_slow"];

/// Of a loss record. When the first was lost is not known: a loss is noticed afterwards.
#[must_use]
pub fn lost(record: &v1::Record) -> LostEvent {
    LostEvent {
        source: source(&record.reason) as i32,
        num_events_lost: record.lost_before,
        cpu: record.cpu.and_then(|cpu| i32::try_from(cpu).ok()),
        first: None,
        last: record.time,
    }
}

/// Everything else was lost between two parts of the agent.
fn source(cause: &str) -> LostEventSource {
    if KERNEL.contains(&cause) {
        LostEventSource::PerfEventRingBuffer
    } else if READER.contains(&cause) {
        LostEventSource::HubbleRingBuffer
    } else {
        LostEventSource::ObserverEventsQueue
    }
}

#[cfg(test)]
mod tests {
    use enforcer_common::maps::LOST_CELLS;

    use super::*;
    use crate::event::names::loss_name;
    use crate::event::sequence::loss;

    const NOW: prost_types::Timestamp = prost_types::Timestamp { seconds: 7, nanos: 0 };

    #[test]
    fn a_loss_says_where_how_many_and_until_when() {
        let event = lost(&v1::Record { cpu: Some(3), ..loss("n1", "observer_slow", 7, NOW) });
        assert_eq!(
            event,
            LostEvent { source: 3, num_events_lost: 7, cpu: Some(3), first: None, last: Some(NOW) }
        );
    }

    #[test]
    fn every_cause_of_the_kernel_is_the_kernels() {
        for cell in 0..LOST_CELLS {
            let cause = loss_name(cell);
            assert_eq!(source(&cause), LostEventSource::PerfEventRingBuffer, "{cause}");
        }
        assert_eq!(source("tunnel_full"), LostEventSource::ObserverEventsQueue);
        assert_eq!(source("undecodable"), LostEventSource::ObserverEventsQueue);
    }
}
