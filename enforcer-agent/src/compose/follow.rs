//! What keeps the records supplied: events, what was lost, and the names that belong to each revision.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::enforce::Loss;
use enforcer_core::event::scene::Scene;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, warn};

use super::pump::pump;
use crate::door::policy::{Closed, InForce, PolicyDoor};
use crate::forensics::{Forensics, Intake, Made, boot_offset_ns};
use crate::kernel::EventReader;
use crate::workload::CgroupTree;

/// Batches between the rings and the records.
const BATCHES_MAX: usize = 16;
/// How often losses are read.
const LOSSES_POLL: Duration = Duration::from_secs(1);

/// Starts the tasks around the records.
pub(super) fn join(
    tasks: &mut JoinSet<()>,
    door: &PolicyDoor,
    forensics: Forensics,
    (events, made): (Option<EventReader>, Made),
    cgroups: CgroupTree,
) -> anyhow::Result<()> {
    let (batches, taken) = mpsc::channel(BATCHES_MAX);
    let scenes = watch::Sender::new(Arc::new(scene(&door.in_force())));
    let losses = watch::Sender::new(Vec::new());
    let intake = Intake {
        events: taken,
        made,
        scenes: scenes.subscribe(),
        losses: losses.subscribe(),
        paths: Arc::new(move |id| cgroups.path_of(id)),
    };
    tasks.spawn(forensics.ingest(intake, 1));
    tasks.spawn(name(door.watch(), scenes));
    tasks.spawn(count(door.clone(), losses));
    if let Some(events) = events {
        tasks.spawn(async move {
            if let Err(error) = pump(events, batches).await {
                error!(%error, "kernel events can no longer be read; the kernel counts what is lost");
            }
        });
    }
    Ok(())
}

fn scene(in_force: &InForce) -> Scene {
    Scene::new(
        in_force.current.number,
        Arc::clone(&in_force.current.policy),
        Arc::clone(&in_force.facts),
        boot_offset_ns(),
    )
}

async fn name(mut in_force: watch::Receiver<Arc<InForce>>, scenes: watch::Sender<Arc<Scene>>) {
    while in_force.changed().await.is_ok() {
        let latest = Arc::clone(&in_force.borrow_and_update());
        scenes.send_replace(Arc::new(scene(&latest)));
    }
}

async fn count(door: PolicyDoor, losses: watch::Sender<Vec<Loss>>) {
    let mut poll = interval(LOSSES_POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = losses.closed() => return,
            _ = poll.tick() => {}
        }
        match door.losses().await {
            Ok(Ok(seen)) => {
                losses.send_if_modified(|last| {
                    let news = *last != seen;
                    *last = seen;
                    news
                });
            }
            Ok(Err(error)) => warn!(error, "losses cannot be read"),
            Err(Closed) => return,
        }
    }
}
