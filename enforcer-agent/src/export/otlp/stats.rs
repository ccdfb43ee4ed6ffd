//! What became of the records for one collector: exact counts, and losses that still have to be told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::super::metrics::Family;

/// Why records did not reach a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The spool was full, and they were the oldest.
    SpoolFull,
    /// What came back from the spool is not what was written.
    SpoolDamaged,
    /// The collector refused the call.
    Refused,
    /// The collector took the call, and some of its records not.
    Rejected,
}

impl Cause {
    /// As loss records call it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::SpoolFull => "otlp_spool_full",
            Self::SpoolDamaged => "otlp_spool_damaged",
            Self::Refused => "otlp_refused",
            Self::Rejected => "otlp_rejected",
        }
    }
}

/// Counts of one collector.
#[derive(Debug, Default)]
pub(super) struct Stats {
    sent: AtomicU64,
    failures: AtomicU64,
    waiting: AtomicU64,
    spool_bytes: AtomicU64,
    last_success_s: AtomicU64,
    lost: Mutex<BTreeMap<Cause, Lost>>,
}

/// How many, and how many of them were not told yet.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    total: u64,
    untold: u64,
}

impl Stats {
    pub(super) fn sent(&self, records: u64) {
        self.sent.fetch_add(records, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_success_s.store(now.as_secs(), Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn spool(&self, records: u64, bytes: u64) {
        self.waiting.store(records, Ordering::Relaxed);
        self.spool_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, cause: Cause, records: u64) {
        if records > 0 {
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            let lost = lost.entry(cause).or_default();
            lost.total += records;
            lost.untold += records;
        }
    }

    /// What was lost since the last time.
    pub(super) fn untold(&self) -> Vec<(Cause, u64)> {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let take = |(cause, lost): (&Cause, &mut Lost)| (*cause, std::mem::take(&mut lost.untold));
        lost.iter_mut().map(take).filter(|(_, records)| *records > 0).collect()
    }

    /// As metrics; `tenant` is empty for the collector that gets everything.
    pub(super) fn families(&self, tenant: &str) -> Vec<Family> {
        let labels = [("tenant", tenant)];
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let sent = "Records that a collector took. No tenant: the collector that gets everything.";
        let mut lost =
            Family::counter("enforcer_otlp_lost", "Records that a collector never gets, by cause.");
        for (cause, counted) in self.lost.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            lost.push(&[("tenant", tenant), ("cause", cause.word())], counted.total);
        }
        let success = "When a collector last took something, in seconds since the Unix epoch; 0 for never.";
        vec![
            Family::counter("enforcer_otlp_sent", sent).with(&labels, load(&self.sent)),
            Family::counter("enforcer_otlp_failures", "Calls that failed.")
                .with(&labels, load(&self.failures)),
            lost,
            Family::gauge("enforcer_otlp_waiting", "Records in the spool.")
                .with(&labels, load(&self.waiting)),
            Family::gauge("enforcer_otlp_spool_bytes", "Bytes of the spool.")
                .with(&labels, load(&self.spool_bytes)),
            Family::gauge("enforcer_otlp_last_success_timestamp_seconds", success)
                .with(&labels, load(&self.last_success_s)),
        ]
    }
}
