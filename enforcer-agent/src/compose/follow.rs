//! What keeps the records supplied: events, what was lost, and the names that belong to each revision.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::enforce::Loss;
use enforcer_core::event::scene::Scene;
use enforcer_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, warn};

use super::pump::pump;
use crate::door::policy::{Closed, InForce, PolicyDoor};
use crate::door::tunnel::Credentials;
use crate::forensics::{Counters, Forensics, Intake, Made};
use crate::kernel::EventReader;
use crate::workload::CgroupTree;

/// Batches between the rings and the records.
const BATCHES_MAX: usize = 16;

/// How often the kernel's own sums are read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cadence {
    /// What was lost.
    pub(super) losses: Duration,
    /// What was counted, for records of totals.
    pub(super) totals: Duration,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { losses: Duration::from_secs(1), totals: Duration::from_secs(60) }
    }
}

/// What the records are made of, and who keeps them.
pub(super) struct Sources {
    pub(super) events: Option<EventReader>,
    pub(super) made: Made,
    pub(super) cgroups: CgroupTree,
    /// Certificates of this node's workloads.
    pub(super) credentials: Option<Credentials>,
    /// Gets every record, in order.
    pub(super) keep: Option<mpsc::Sender<Vec<Arc<v1::Record>>>>,
    /// The first record's number.
    pub(super) first: u64,
    pub(super) cadence: Cadence,
}

/// Starts the tasks around the records.
pub(super) async fn join(tasks: &mut JoinSet<()>, door: &PolicyDoor, forensics: Forensics, sources: Sources) {
    let Sources { events, made, cgroups, credentials, keep, first, cadence } = sources;
    let (batches, taken) = mpsc::channel(BATCHES_MAX);
    let (counters, counted) = mpsc::channel(1);
    let scenes = watch::Sender::new(Arc::new(scene(&door.in_force())));
    // What an earlier agent's time lost is that agent's to tell.
    let losses = watch::Sender::new(read_losses(door).await.unwrap_or_default());
    let groups = cgroups.clone();
    let intake = Intake {
        events: taken,
        made,
        scenes: scenes.subscribe(),
        losses: losses.subscribe(),
        counters: counted,
        credentials,
        paths: Arc::new(move |id| cgroups.path_of(id)),
        groups: Arc::new(move |path| groups.lineage_of_path(path)?.first().copied()),
        keep,
    };
    tasks.spawn(forensics.ingest(intake, first));
    tasks.spawn(name(door.watch(), scenes));
    tasks.spawn(count(door.clone(), losses, cadence.losses));
    tasks.spawn(sum(door.clone(), counters, cadence.totals));
    if let Some(events) = events {
        tasks.spawn(async move {
            if let Err(error) = pump(events, batches).await {
                error!(%error, "kernel events can no longer be read; the kernel counts what is lost");
            }
        });
    }
}

fn scene(in_force: &InForce) -> Scene {
    let facts = Arc::clone(&in_force.facts);
    Scene::new(in_force.current.number, Arc::clone(&in_force.current.policy), facts)
}

async fn name(mut in_force: watch::Receiver<Arc<InForce>>, scenes: watch::Sender<Arc<Scene>>) {
    while in_force.changed().await.is_ok() {
        let latest = Arc::clone(&in_force.borrow_and_update());
        scenes.send_replace(Arc::new(scene(&latest)));
    }
}

/// Tells each reading, also where it says the same: what is missing is compared with it.
async fn count(door: PolicyDoor, losses: watch::Sender<Vec<Loss>>, every: Duration) {
    let mut poll = interval(every);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = losses.closed() => return,
            _ = poll.tick() => {}
        }
        match read_losses(&door).await {
            Ok(seen) => drop(losses.send_replace(seen)),
            Err(Some(error)) => warn!(error, "losses cannot be read"),
            Err(None) => return,
        }
    }
}

/// The error is `None` when the agent is stopping.
async fn read_losses(door: &PolicyDoor) -> Result<Vec<Loss>, Option<String>> {
    match door.losses().await {
        Ok(seen) => seen.map_err(Some),
        Err(Closed) => Err(None),
    }
}

async fn sum(door: PolicyDoor, counters: mpsc::Sender<Counters>, every: Duration) {
    let mut poll = interval(every);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = counters.closed() => return,
            _ = poll.tick() => {}
        }
        match door.counters().await {
            Ok(Ok(seen)) => {
                if counters.send(seen).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) => warn!(error, "counters cannot be read"),
            Err(Closed) => return,
        }
    }
}
