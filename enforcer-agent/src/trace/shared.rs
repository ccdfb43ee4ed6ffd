//! What the thread that owns the store lets others see of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use enforcer_trace::Status;
use enforcer_trace::split::NODE;
use tokio::sync::watch;

/// Longer than any disk takes that works.
const PATIENCE: Duration = Duration::from_secs(5);
/// What nobody is waiting for.
const IDLE: u64 = u64::MAX;

/// The state of the store, as others see it.
pub(super) struct Shared {
    durable: watch::Sender<u64>,
    view: Mutex<View>,
    started: Instant,
    /// Milliseconds after the start at which the disk was asked for what it has not answered yet.
    busy_since_ms: AtomicU64,
}

/// What was told last.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// As the store says; the last word of one that is away.
    pub(super) status: Status,
    /// Why there is no store.
    pub(super) away: Option<String>,
    /// Why the last records were not kept.
    pub(super) failing: Option<String>,
    /// Why the copy elsewhere is behind.
    pub(super) shipping: Option<String>,
    /// Records that were not kept since the start, by tenant and cause.
    pub(super) lost: BTreeMap<(String, &'static str), u64>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let away = Some("the store is being opened".to_owned());
        Self {
            durable: watch::Sender::new(0),
            view: Mutex::new(View { away, ..View::default() }),
            started: Instant::now(),
            busy_since_ms: AtomicU64::new(IDLE),
        }
    }

    /// Up to which sequence number every record is on disk.
    pub(super) fn durable(&self) -> watch::Receiver<u64> {
        self.durable.subscribe()
    }

    pub(super) fn reached(&self, sequence: u64) {
        self.durable.send_if_modified(|durable| {
            let is_news = *durable != sequence;
            *durable = sequence;
            is_news
        });
    }

    pub(super) fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that may wait for the disk.
    pub(super) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(0);
        self.busy_since_ms.store(now, Ordering::Relaxed);
        let done = work();
        self.busy_since_ms.store(IDLE, Ordering::Relaxed);
        done
    }

    /// Records of a tenant were not kept.
    pub(super) fn lose(&self, tenant: &str, cause: &'static str, records: u64) {
        let mut view = self.view();
        let count = view.lost.entry((tenant.to_owned(), cause)).or_default();
        *count = count.saturating_add(records);
    }

    /// Sentences for a person.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let since = self.busy_since_ms.load(Ordering::Relaxed);
        let waiting = (since != IDLE)
            .then(|| self.started.elapsed().saturating_sub(Duration::from_millis(since)))
            .filter(|waiting| *waiting > PATIENCE);
        if let Some(waiting) = waiting {
            problems.push(format!("the disk has not answered for {} seconds", waiting.as_secs()));
        }
        let view = self.view();
        problems.extend(view.away.clone());
        problems.extend(view.failing.clone());
        problems.extend(view.shipping.clone());
        problems.extend(view.status.problems.iter().cloned());
        problems
    }

    /// What was not kept: whose, by which cause, how much.
    pub(super) fn losses(&self) -> Vec<enforcer_proto::v1::Loss> {
        let view = self.view();
        let of = |((tenant, cause), count): (&(String, &'static str), &u64)| enforcer_proto::v1::Loss {
            cause: (*cause).to_owned(),
            count: *count,
            source: if tenant == NODE { String::new() } else { tenant.clone() },
        };
        view.lost.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_does_not_answer_is_told_while_it_does_not() {
        let shared = Shared::new();
        shared.view().away = None;
        assert!(shared.problems().is_empty());
        let late = Shared { started: Instant::now() - Duration::from_secs(60), ..Shared::new() };
        late.view().away = None;
        late.busy_since_ms.store(1_000, Ordering::Relaxed);
        assert_eq!(late.problems(), ["the disk has not answered for 59 seconds"]);
        late.busy(|| assert!(late.problems().is_empty()));
        assert!(late.problems().is_empty());
    }
}
