//! The room's one task: time, commands, and what is being done for them.

use std::sync::Arc;

use enforcer_core::device::number::DeviceNumber;
use enforcer_proto::v1;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::desk::{Desk, blocking};
use super::vacancy::{self, Whose};
use super::{Parts, drill, look, revoke, tell};
use crate::door::device::{Door, HandleCommand, Reply, WAITING_MAX};

/// Opens the room; the second value runs it, until the word to stop. A revocation that is under way then is cut off: its
/// devices stay closed.
pub fn open(parts: Parts) -> (Door<HandleCommand>, impl Future<Output = ()> + Send) {
    let (commands, inbox) = mpsc::channel(WAITING_MAX);
    (Door::new(commands), run(Arc::new(Desk::new(parts)), inbox))
}

async fn run(desk: Arc<Desk>, mut inbox: mpsc::Receiver<HandleCommand>) {
    let mut stop = desk.parts.stop.clone();
    let mut tick = interval(desk.parts.settings.sweep);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tasks = JoinSet::new();
    let mut sweeps = Sweeps::default();
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = tick.tick() => sweeps.next(&desk, &mut tasks),
            Some(_ended) = tasks.join_next() => {}
            command = inbox.recv() => match command {
                Some(command) => take_up(&desk, command, &mut tasks),
                // Nobody can ask any more; who looks at the records still wants to know.
                None => {
                    stop.wait().await;
                    return;
                }
            },
        }
    }
}

/// The sweeps that nobody asked for.
#[derive(Default)]
struct Sweeps {
    latest: Option<AbortHandle>,
    skipped: u64,
}

impl Sweeps {
    /// One at a time: where a sweep takes longer than the time between two, the next is left out.
    fn next(&mut self, desk: &Arc<Desk>, tasks: &mut JoinSet<()>) {
        if self.latest.as_ref().is_some_and(|sweep| !sweep.is_finished()) {
            self.skipped = self.skipped.saturating_add(1);
            if self.skipped == 1 {
                skipped(desk);
            }
            return;
        }
        self.skipped = 0;
        let desk = Arc::clone(desk);
        self.latest = Some(tasks.spawn(async move {
            if let Err(why) = look::take(&desk).await {
                warn!(why, "it could not be seen who holds devices");
            }
        }));
    }
}

fn skipped(desk: &Desk) {
    let message = format!(
        "a sweep takes longer than {} s, so that the next was left out: findings come later",
        desk.parts.settings.sweep.as_secs()
    );
    warn!("{message}");
    let note = v1::Note {
        event: "sweep_skipped".to_owned(),
        subject: "handles".to_owned(),
        actor: "agent".to_owned(),
        level: "low".to_owned(),
        message,
        fields: Vec::new(),
    };
    tell::deed(desk, &desk.parts.policy.in_force().facts.devices, None, note);
}

/// Each command is a task of its own, so that none waits for another; there are never more than may wait at the door.
fn take_up(desk: &Arc<Desk>, command: HandleCommand, tasks: &mut JoinSet<()>) {
    let desk = Arc::clone(desk);
    let is_full = tasks.len() >= WAITING_MAX;
    match command {
        HandleCommand::Handles(_, reply) if is_full => refuse(reply),
        HandleCommand::Vacancy(_, reply) if is_full => refuse(reply),
        HandleCommand::Revoke(_, _, reply) if is_full => refuse(reply),
        HandleCommand::Drill(reply) if is_full => refuse(reply),
        HandleCommand::Handles(request, reply) => {
            tasks.spawn(async move { drop(reply.send(look::answer(&desk, &request).await)) });
        }
        HandleCommand::Vacancy(device, reply) => {
            tasks.spawn(async move { drop(reply.send(vacant(&desk, device).await)) });
        }
        HandleCommand::Revoke(revocation, steps, reply) => match revoke::begin(&desk, &revocation) {
            Ok(ladder) => {
                drop(reply.send(Ok(())));
                tasks.spawn(ladder.climb(desk, steps));
            }
            Err(why) => drop(reply.send(Err(why))),
        },
        HandleCommand::Drill(reply) => {
            tasks.spawn(async move {
                let groups = desk.groups.clone();
                drop(reply.send(blocking(move || Ok(drill::run(&groups))).await));
            });
        }
    }
}

async fn vacant(
    desk: &Desk,
    device: DeviceNumber,
) -> Result<enforcer_core::device::holding::Vacancy, String> {
    vacancy::look(desk, device, Whose::Anybody).await
}

fn refuse<T>(reply: Reply<T>) {
    drop(reply.send(Err(format!("{WAITING_MAX} others are being answered: ask again"))));
}
