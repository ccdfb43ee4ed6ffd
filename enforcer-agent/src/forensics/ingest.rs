//! `read → decode → enrich → number → store`: what the kernel room hands over becomes records.

use std::collections::VecDeque;
use std::sync::Arc;

use enforcer_common::event::{Event, PacketEvent};
use enforcer_core::enforce::Loss;
use enforcer_core::event::batch::Batch;
use enforcer_core::event::decode::{Decoded, decode};
use enforcer_core::event::record::record;
use enforcer_core::event::scene::Scene;
use enforcer_core::event::sequence::Sequencer;
use enforcer_core::event::sort::is_sample;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, watch};

use super::made::Made;
use super::paths::{PathLookup, Paths};
use super::{Forensics, line};

/// Records of others that are taken at once.
const TAKEN_MAX: usize = 1_024;

/// How many scenes are kept, so that an event is named by the policy that was in force when it happened.
const SCENES: usize = 8;

/// What this room is fed with.
pub struct Intake {
    /// Raw events. Whoever sends must not wait: a full channel is a loss to be counted.
    pub events: mpsc::Receiver<Batch>,
    /// Records that others made.
    pub made: Made,
    /// The policy in force and the node.
    pub scenes: watch::Receiver<Arc<Scene>>,
    /// Totals of what the kernel lost.
    pub losses: watch::Receiver<Vec<Loss>>,
    /// Where control groups are.
    pub paths: PathLookup,
}

impl Forensics {
    /// Records what comes in, until the events' sender is gone. `first` is the first record's number: one
    /// more than the last of an earlier run, or 1. What the losses say at the call was lost before.
    pub fn ingest(self, mut intake: Intake, first: u64) -> impl Future<Output = ()> + Send + use<> {
        let before = intake.losses.borrow_and_update().clone();
        let scene = Arc::clone(&intake.scenes.borrow_and_update());
        let desk = Desk {
            sequencer: Sequencer::new(self.node().to_owned(), first, &before),
            paths: Paths::new(Arc::clone(&intake.paths)),
            scenes: VecDeque::from([scene]),
        };
        self.work(intake, desk)
    }

    async fn work(self, mut intake: Intake, mut desk: Desk) {
        loop {
            tokio::select! {
                biased;
                Ok(()) = intake.scenes.changed() => {
                    desk.remember(Arc::clone(&intake.scenes.borrow_and_update()));
                }
                Ok(()) = intake.losses.changed() => {
                    let totals = intake.losses.borrow_and_update().clone();
                    self.take(desk.sequencer.losses(&totals, now()));
                }
                batch = intake.events.recv() => match batch {
                    Some(batch) => self.take(desk.records(&batch)),
                    None => return,
                },
                (records, lost) = intake.made.take(TAKEN_MAX) => self.take(desk.numbered(records, lost)),
            }
        }
    }

    fn take(&self, records: Vec<enforcer_proto::v1::Record>) {
        records.iter().filter(|record| !is_sample(record)).for_each(line::write);
        self.append(records);
    }
}

/// What it takes to make records of events.
struct Desk {
    sequencer: Sequencer,
    paths: Paths,
    /// Newest last; never empty.
    scenes: VecDeque<Arc<Scene>>,
}

impl Desk {
    fn remember(&mut self, scene: Arc<Scene>) {
        // The node changes under one revision too: its latest look replaces the earlier one.
        self.scenes.retain(|known| known.revision != scene.revision);
        while self.scenes.len() >= SCENES {
            self.scenes.pop_front();
        }
        self.scenes.push_back(scene);
    }

    fn records(&mut self, batch: &Batch) -> Vec<enforcer_proto::v1::Record> {
        let mut records = Vec::with_capacity(batch.len());
        let mut undecodable = 0;
        for bytes in batch.iter() {
            let event = match decode(bytes) {
                Ok(Decoded::Decision(event) | Decoded::Packet(PacketEvent { event, .. })) => event,
                Ok(Decoded::Socket(_) | Decoded::Process(_)) => continue,
                Ok(Decoded::Unknown(_)) | Err(_) => {
                    undecodable += 1;
                    continue;
                }
            };
            let path = self.paths.of(event.cgroup);
            let Some(scene) = self.scene_of(&event) else { continue };
            let named = record(&event, scene, path.as_deref());
            records.push(self.sequencer.number(named));
        }
        if undecodable != 0 {
            let loss = self.sequencer.loss("undecodable", undecodable, now());
            records.push(self.sequencer.number(loss));
        }
        records
    }

    fn numbered(
        &mut self,
        records: Vec<enforcer_proto::v1::Record>,
        lost: u64,
    ) -> Vec<enforcer_proto::v1::Record> {
        let loss = (lost != 0).then(|| self.sequencer.loss("tunnel_full", lost, now()));
        loss.into_iter().chain(records).map(|record| self.sequencer.number(record)).collect()
    }

    /// The policy that decided; the newest one when that is no longer, or not yet, known.
    fn scene_of(&self, event: &Event) -> Option<&Scene> {
        let then = self.scenes.iter().find(|scene| scene.revision == event.revision);
        then.or_else(|| self.scenes.back()).map(AsRef::as_ref)
    }
}

/// `CLOCK_REALTIME` minus `CLOCK_BOOTTIME`, in nanoseconds: what [`Scene::new`] asks for.
#[must_use]
pub fn boot_offset_ns() -> i64 {
    let at = |clock| clock_gettime(clock).map(|time| (time.tv_sec(), time.tv_nsec())).unwrap_or_default();
    let (real, boot) = (at(ClockId::CLOCK_REALTIME), at(ClockId::CLOCK_BOOTTIME));
    (real.0 - boot.0).saturating_mul(1_000_000_000).saturating_add(real.1 - boot.1)
}

fn now() -> prost_types::Timestamp {
    std::time::SystemTime::now().into()
}
