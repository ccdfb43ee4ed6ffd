//! `read → decode → enrich → number → store`: what the kernel room hands over becomes records.

use std::sync::Arc;
use std::time::Duration;

use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::enforce::Loss;
use enforcer_core::event::batch::Batch;
use enforcer_core::event::scene::Scene;
use enforcer_core::event::sort::is_sample;
use enforcer_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::desk::Desk;
use super::made::Made;
use super::paths::PathLookup;
use super::proc::GroupLookup;
use super::serials::Serials;
use super::{Forensics, clock, line};
use crate::door::tunnel::Credentials;

/// Records of others that are taken at once.
const TAKEN_MAX: usize = 1_024;
/// How often the clocks are compared.
const CLOCK_EVERY: Duration = Duration::from_secs(1);

/// Counters as they were read.
pub type Counters = Vec<(CounterKey, CounterValue)>;

/// What this room is fed with.
pub struct Intake {
    /// Raw events. Whoever sends must not wait: a full channel is a loss to be counted.
    pub events: mpsc::Receiver<Batch>,
    /// Records that others made.
    pub made: Made,
    /// The policy in force and the node.
    pub scenes: watch::Receiver<Arc<Scene>>,
    /// Totals of what the kernel lost, sent at each reading, also of the same.
    pub losses: watch::Receiver<Vec<Loss>>,
    /// The kernel's counters, as often as totals are to be recorded.
    pub counters: mpsc::Receiver<Counters>,
    /// Certificates of this node's workloads.
    pub credentials: Option<Credentials>,
    /// Where control groups are.
    pub paths: PathLookup,
    /// Which control group is where.
    pub groups: GroupLookup,
    /// Who keeps records: gets every one, in order. Where it takes none, this room takes no events either, and the kernel
    /// counts what it has no room for.
    pub keep: Option<mpsc::Sender<Vec<Arc<v1::Record>>>>,
}

impl Forensics {
    /// Records what comes in, until the events' sender is gone. `first` is the first record's number: one
    /// more than the last of an earlier run, or 1. What the losses say at the call was lost before.
    pub fn ingest(self, mut intake: Intake, first: u64) -> impl Future<Output = ()> + Send + use<> {
        let before = intake.losses.borrow_and_update().clone();
        let scene = Arc::clone(&intake.scenes.borrow_and_update());
        let lookups = (Arc::clone(&intake.paths), Arc::clone(&intake.groups));
        let serials = Serials::new(intake.credentials.take());
        let desk = Desk::new(self.node().to_owned(), first, &before, scene, lookups, serials);
        self.work(intake, desk)
    }

    async fn work(self, mut intake: Intake, mut desk: Desk) {
        desk.seed();
        let mut clocks = interval(CLOCK_EVERY);
        clocks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // What comes seldom comes first: events may never let go.
            let records = tokio::select! {
                biased;
                Ok(()) = intake.scenes.changed() => {
                    desk.remember(Arc::clone(&intake.scenes.borrow_and_update()));
                    continue;
                }
                Ok(()) = intake.losses.changed() => {
                    let totals = intake.losses.borrow_and_update().clone();
                    desk.losses(&totals)
                }
                _ = clocks.tick() => desk.tick(clock::read()).into_iter().collect(),
                Some(counters) = intake.counters.recv() => desk.totals(&counters),
                (records, lost) = intake.made.take(TAKEN_MAX) => desk.numbered(records, lost),
                batch = intake.events.recv() => match batch {
                    Some(batch) => desk.records(&batch),
                    None => return,
                },
            };
            self.take(records, intake.keep.as_ref()).await;
        }
    }

    async fn take(&self, records: Vec<v1::Record>, keep: Option<&mpsc::Sender<Vec<Arc<v1::Record>>>>) {
        if records.is_empty() {
            return;
        }
        records.iter().filter(|record| !is_sample(record)).for_each(line::write);
        let records: Vec<Arc<v1::Record>> = records.into_iter().map(Arc::new).collect();
        self.append(&records);
        if let Some(keep) = keep {
            // Who keeps no more has said why.
            let _ = keep.send(records).await;
        }
    }
}
