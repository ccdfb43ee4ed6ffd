//! What records add up to: who talked to whom, and who held which device. It is fed records one by one and holds a
//! bounded number of sums; what no longer fits is counted, and said.

use std::collections::BTreeMap;

use enforcer_core::event::record::{DEVICE, FLOW, LOSS, PROCESS, TUNNEL};
use enforcer_proto::v1;
use prost_types::Timestamp;

use crate::parquet::nanoseconds;

/// Sums that are held at once.
pub const SUMS_MOST: usize = 10_000;
/// Reasons that are told of one talk.
const REASONS_MOST: usize = 8;

/// What is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Who talked to whom.
    Talks,
    /// Who held which device.
    Devices,
}

impl What {
    /// The sum of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "talks" => Some(Self::Talks),
            "devices" => Some(Self::Devices),
            _ => None,
        }
    }
}

/// A summary.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Talks by who they are between, or holds by device and process; `lost` counts records that are missing.
    pub response: v1::SummaryResponse,
    /// Records that belong to a sum that no longer fitted.
    pub cut: u64,
}

/// Sums records up.
#[must_use]
pub fn summary(records: impl Iterator<Item = v1::Record>, what: What) -> Summary {
    let mut sums = Sums::default();
    for record in records {
        sums.lost = sums.lost.saturating_add(record.lost_before);
        match (what, record.r#type.as_str()) {
            (_, LOSS) => {}
            (What::Talks, FLOW | TUNNEL) => sums.talk(&record),
            (What::Devices, DEVICE) => sums.hold(&record),
            (What::Devices, PROCESS) => sums.end(&record),
            (What::Talks | What::Devices, _) => {}
        }
    }
    sums.finish()
}

/// Ports of servers count, those of clients are as many as there are flows. Text is compared as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TalkKey {
    ends: [(String, String, String); 2],
    port: u32,
    protocol: String,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct HoldKey {
    device: (String, String, u32, Option<u32>),
    holder: (String, String),
    process: (u32, u64),
}

#[derive(Default)]
struct Sums {
    talks: BTreeMap<TalkKey, v1::Talk>,
    holds: BTreeMap<HoldKey, v1::Hold>,
    lost: u64,
    cut: u64,
}

impl Sums {
    fn talk(&mut self, record: &v1::Record) {
        let (source, destination) =
            (record.source.clone().unwrap_or_default(), record.destination.clone().unwrap_or_default());
        let end = |end: &v1::Endpoint| (end.identity.clone(), end.workload.clone(), end.address.clone());
        let key = TalkKey {
            ends: [end(&source), end(&destination)],
            port: destination.port,
            protocol: record.protocol.clone(),
        };
        if self.is_full(self.talks.contains_key(&key), self.talks.len()) {
            return;
        }
        let talk = self.talks.entry(key).or_insert_with(|| v1::Talk {
            source: Some(v1::Endpoint { port: 0, ..source }),
            destination: Some(destination),
            protocol: record.protocol.clone(),
            ..v1::Talk::default()
        });
        add_talk(talk, record);
    }

    fn hold(&mut self, record: &v1::Record) {
        let Some(device) = &record.device else { return };
        let holder = record.source.clone().unwrap_or_default();
        let process = record.process.clone().unwrap_or_default();
        let key = HoldKey {
            device: (device.class.clone(), device.kind.clone(), device.major, device.minor),
            holder: (holder.identity.clone(), holder.workload.clone()),
            process: (process.pid, process.start_boot_ns),
        };
        if self.is_full(self.holds.contains_key(&key), self.holds.len()) {
            return;
        }
        let hold = self.holds.entry(key).or_insert_with(|| v1::Hold {
            device: Some(device.clone()),
            holder: Some(holder),
            process: record.process.clone(),
            ..v1::Hold::default()
        });
        *(if is_refused(record) { &mut hold.refused } else { &mut hold.opens }) += 1;
        stretch(&mut hold.first, &mut hold.last, record.time.as_ref());
    }

    /// A process that ended holds nothing any more.
    fn end(&mut self, record: &v1::Record) {
        let is_exit = record.note.as_ref().is_some_and(|note| note.event == "exit");
        let Some(process) = record.process.as_ref().filter(|_| is_exit) else { return };
        for (_, hold) in self
            .holds
            .iter_mut()
            .filter(|(key, hold)| key.process == (process.pid, process.start_boot_ns) && hold.ended.is_none())
        {
            hold.ended = record.time;
        }
    }

    fn is_full(&mut self, is_known: bool, held: usize) -> bool {
        let is_full = !is_known && held >= SUMS_MOST;
        self.cut += u64::from(is_full);
        is_full
    }

    fn finish(self) -> Summary {
        let response = v1::SummaryResponse {
            talks: self.talks.into_values().collect(),
            holds: self.holds.into_values().collect(),
            lost: self.lost,
        };
        Summary { response, cut: self.cut }
    }
}

/// States and ends of a flow that was counted when it began tell how much went over it, and are no further flows.
fn add_talk(talk: &mut v1::Talk, record: &v1::Record) {
    let event = record.flow.as_ref().map_or("", |flow| flow.event.as_str());
    let tunnel = record.tunnel.as_ref().map_or("", |tunnel| tunnel.event.as_str());
    if is_refused(record) {
        talk.refused += 1;
    } else if matches!(event, "" | "opened") && tunnel != "closed" {
        talk.allowed += 1;
    }
    if let Some(flow) = record.flow.as_ref().filter(|_| event == "closed") {
        talk.bytes_sent = talk.bytes_sent.saturating_add(flow.bytes_sent);
        talk.bytes_received = talk.bytes_received.saturating_add(flow.bytes_received);
    }
    if let Some(facts) = record.tunnel.as_ref().filter(|_| tunnel == "closed") {
        talk.bytes_sent = talk.bytes_sent.saturating_add(facts.bytes_forward);
        talk.bytes_received = talk.bytes_received.saturating_add(facts.bytes_back);
    }
    let is_new = !record.reason.is_empty() && !talk.reasons.contains(&record.reason);
    if is_new && talk.reasons.len() < REASONS_MOST {
        talk.reasons.push(record.reason.clone());
    }
    stretch(&mut talk.first, &mut talk.last, record.time.as_ref());
}

fn is_refused(record: &v1::Record) -> bool {
    record.verdict == "deny" || record.tunnel.as_ref().is_some_and(|tunnel| tunnel.event == "refused")
}

fn stretch(first: &mut Option<Timestamp>, last: &mut Option<Timestamp>, time: Option<&Timestamp>) {
    let Some(time) = time else { return };
    if first.as_ref().is_none_or(|first| nanoseconds(time) < nanoseconds(first)) {
        *first = Some(*time);
    }
    if last.as_ref().is_none_or(|last| nanoseconds(time) > nanoseconds(last)) {
        *last = Some(*time);
    }
}

#[cfg(test)]
#[path = "summary_tests.rs"]
mod tests;
