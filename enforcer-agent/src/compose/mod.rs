//! The composition root: opens the rooms in the order that keeps the walls up, joins them by channels, and
//! ends them in the reverse order. The only place that knows every room.

mod clock;
mod custody;
mod detect;
mod export;
mod follow;
mod handle;
mod hubble;
mod identity;
pub mod keys;
mod limits;
mod listener;
mod logging;
mod notify;
mod posture;
mod pump;
pub(crate) mod records;
mod rooms;
mod surveyor;
mod telling;
mod trace;
mod tunnel;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::admin::listen::local::LocalDoor;
use crate::admin::listen::network::NetworkDoor;
use crate::config::Settings;
use crate::door::library;
use crate::door::policy::PolicyDoor;
use crate::door::stop::Stopper;
use crate::policy::source::FileSource;

pub use logging::{Logs, start as start_logging};

use self::tunnel::Inherited;
use crate::proxy::Room;
use crate::trace::Keeper;

/// How long calls that were begun may take to end.
const CALLS_END: Duration = Duration::from_secs(5);
/// How long a predecessor may hold on to what it has let go of.
const PREDECESSOR_ENDS: Duration = Duration::from_secs(15);
/// How long the change that is being put in force may take to end.
const ENGINE_ENDS: Duration = Duration::from_secs(30);

/// Runs the agent until SIGTERM or SIGINT. The walls stay.
///
/// # Errors
/// What kept it from starting, or made it stop.
pub fn run(settings: &Settings, logs: Logs) -> anyhow::Result<()> {
    limits::raise_files();
    library::choose();
    let inherited = tunnel::inherit(settings)?;
    let rooms = rooms::open(settings, &inherited, logs)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("agent")
        .build()
        .context("cannot start the runtime")?;
    let (door, engine) = (rooms.door.clone(), rooms.engine);
    let (end, left) = runtime.block_on(serve(settings, rooms.door, rooms.outfit, inherited));
    runtime.shutdown_timeout(CALLS_END);
    // Before the journal is let go of: a successor waits for that, and finds the traces free as well.
    if let Some(keeper) = left.keeper {
        trace::finish(keeper);
    }
    finish(door, engine);
    // What is carried goes on while a successor already has the walls.
    if let Some(tunnel) = left.tunnel {
        tunnel.join();
    }
    info!("stopped; the walls stay");
    end
}

async fn serve(
    settings: &Settings,
    door: PolicyDoor,
    outfit: rooms::Outfit,
    inherited: Inherited,
) -> (anyhow::Result<()>, Left) {
    let mut left = Left::default();
    let end = work(settings, door, outfit, inherited, &mut left).await;
    (end, left)
}

/// What goes on when nothing more is taken in, and ends in its own time.
#[derive(Default)]
struct Left {
    tunnel: Option<Room>,
    keeper: Option<Keeper>,
}

async fn work(
    settings: &Settings,
    door: PolicyDoor,
    outfit: rooms::Outfit,
    inherited: Inherited,
    left: &mut Left,
) -> anyhow::Result<()> {
    let stopper = Stopper::default();
    let mut tasks = JoinSet::new();
    let succeeded = Arc::new(Notify::new());
    let rooms::Outfit { ends, mut admin, events, logs, forensics, cgroups, watchers, vault } = outfit;
    let Logs { maker, made } = logs;
    let tell = maker.teller();
    let (held, keys) = (forensics.clone(), vault.clone());
    if let (Some(identity), Some(vault)) = (&settings.identity, vault) {
        let around = (&mut tasks, &stopper, maker.teller());
        let opened = identity::open(settings, identity, vault, &door, &cgroups, around).await?;
        admin.authority = opened.authority(settings);
        if let Some(settings_of_tunnel) = &settings.tunnel {
            let joints = tunnel::Joints {
                policy: &door,
                identity: opened.door.clone(),
                maker,
                stock: inherited.stock,
                ends,
                succeeded: Arc::clone(&succeeded),
                stop: stopper.listener(),
            };
            let (opened, room) = tunnel::open(settings, settings_of_tunnel, joints)?;
            admin.tunnel = Some(opened);
            left.tunnel = Some(room);
        }
        admin.identity = Some(opened.door);
    }
    let local = LocalDoor::open(&settings.socket.path, &settings.socket.allowed_uids)?;
    let network = match &settings.listener {
        None => None,
        Some(listener) => {
            let source = listener::source(listener, admin.identity.as_ref())?;
            Some(NetworkDoor::open(listener.address, source).await?)
        }
    };
    hubble::open(settings, &door, admin.identity.as_ref(), &forensics, &mut tasks, stopper.listener())
        .await?;
    let joints = trace::Joints { forensics: held.clone(), vault: keys.clone(), tell: Arc::clone(&tell) };
    let predecessor_ends = if inherited.from_predecessor { PREDECESSOR_ENDS } else { Duration::ZERO };
    let (mut keep, mut first) = (None, 1);
    if let Some(opened) = trace::open(settings, joints, predecessor_ends).await? {
        if let Some(shipping) = opened.shipping {
            tasks.spawn(opened.desk.ship(shipping, stopper.listener()));
        }
        tasks.spawn(opened.desk.run(stopper.listener()));
        admin.trace = Some(opened.door);
        (keep, first) = (Some(opened.keep), opened.keeper.first);
        left.keeper = Some(opened.keeper);
    }
    let sources = follow::Sources {
        events,
        made,
        cgroups,
        credentials: admin.identity.as_ref().map(|door| door.credentials.clone()),
        keep,
        first,
        cadence: follow::Cadence::default(),
    };
    follow::join(&mut tasks, &door, forensics, sources).await;
    watchers.join(&mut tasks, &door);
    if let Some(detection) = &settings.detection {
        let records = held.clone();
        let joints = detect::Joints {
            policy: &door,
            identity: admin.identity.clone(),
            subscribe: Arc::new(move |scope, start, follow| records.subscribe(scope, start, follow)),
            tell: Arc::clone(&tell),
            stop: stopper.listener(),
        };
        admin.detect = Some(detect::open(settings, detection, joints, &mut tasks)?);
    }
    let asker = posture::asker(settings);
    let around = (Arc::clone(&tell), stopper.listener());
    admin.device.posture = Some(posture::open(settings, &door, asker.clone(), around, &mut tasks));
    // Both ask each other: the door comes before the room.
    let (custody_door, custody_inbox) = crate::custody::door();
    admin.device.custody = Some(custody_door);
    admin.device.handles =
        Some(handle::open(settings, (&door, &admin.device), asker, (&tell, stopper.listener()), &mut tasks));
    let joints = custody::Joints {
        policy: &door,
        vault: keys.clone(),
        handles: admin.device.handles.clone(),
        posture: admin.device.posture.clone(),
        tell: Arc::clone(&tell),
        stop: stopper.listener(),
    };
    custody::open(settings, joints, custody_inbox, &mut tasks)?;
    if !settings.recording.tenants.is_empty() {
        tasks.spawn(telling::follow(door.clone(), settings.recording.tenants.clone()));
    }
    let joints = export::Joints { admin: &admin, forensics: held, vault: keys, tell, stopper: &stopper };
    export::open(settings, joints, &mut tasks).await?;
    let reread = Arc::new(Notify::new());
    if let Some(path) = &settings.policy_path {
        let source = FileSource::new(path.clone());
        tasks.spawn(source.follow(door.clone(), Arc::clone(&reread), stopper.listener()));
    }
    let mut signals = Signals::listen()?;
    let server = tokio::spawn(admin.serve(local, network, stopper.listener()));
    notify::ready();
    info!(socket = %settings.socket.path.display(), node = settings.node_name, "ready");

    let end = signals.wait(&door, (&reread, &succeeded), server, &mut tasks).await;
    notify::stopping();
    stopper.stop();
    let (end, server) = end;
    if let Some(server) = server
        && timeout(CALLS_END, server).await.is_err()
    {
        warn!("some calls did not end in time and are cut off");
    }
    tasks.shutdown().await;
    end
}

/// The last door closes, and with it the engine, after the change that it is at.
fn finish(door: PolicyDoor, engine: JoinHandle<()>) {
    drop(door);
    let deadline = std::time::Instant::now() + ENGINE_ENDS;
    while !engine.is_finished() {
        if std::time::Instant::now() > deadline {
            error!("the policy thread did not end in time; the journal has what was acknowledged");
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    if engine.join().is_err() {
        error!("the policy thread had failed");
    }
}

type Server = tokio::task::JoinHandle<Result<(), tonic::transport::Error>>;

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the end: a signal, or a part that the agent cannot do without. Answers with the server if it
    /// still runs.
    async fn wait(
        &mut self,
        door: &PolicyDoor,
        (reread, succeeded): (&Notify, &Notify),
        mut server: Server,
        tasks: &mut JoinSet<()>,
    ) -> (anyhow::Result<()>, Option<Server>) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => info!("SIGTERM: stopping"),
                _ = self.interrupt.recv() => info!("SIGINT: stopping"),
                () = succeeded.notified() => info!("a successor has taken over: stopping"),
                _ = self.hang_up.recv() => {
                    info!("SIGHUP: reading policy files again");
                    reread.notify_one();
                    door.recheck();
                    continue;
                }
                ended = &mut server => {
                    let end = match ended {
                        Ok(Ok(())) => Err(anyhow!("the gRPC server ended by itself")),
                        Ok(Err(error)) => Err(anyhow!(error).context("the gRPC server failed")),
                        Err(error) => Err(anyhow!(error).context("the gRPC server failed")),
                    };
                    return (end, None);
                }
                () = door.closed() => {
                    return (Err(anyhow!("the policy thread ended; the walls stay")), Some(server));
                }
                Some(ended) = tasks.join_next() => {
                    if let Err(error) = ended {
                        return (Err(anyhow!(error).context("a part of the agent failed")), Some(server));
                    }
                    continue;
                }
            }
            return (Ok(()), Some(server));
        }
    }
}
