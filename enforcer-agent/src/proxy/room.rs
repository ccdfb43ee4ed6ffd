//! The tunnel's room: a runtime of its own, so that no listing, metrics scrape or policy push can hold up a byte.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{Builder as ThreadBuilder, JoinHandle};
use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::node::TunnelEnd;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::Court;
use enforcer_proto::v1;
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::budget::Budgets;
use super::hbone::client::pool::Pool as HbonePool;
use super::hbone_peers::HbonePeers;
use super::idle::Idle;
use super::post::handover::{self, Stock};
use super::posts::Posts;
use super::registry::{EndReason, Registry, follow_deadlines};
use super::shared::Shared;
use super::tls::{Clock, Hops, PeerCheck};
use crate::config::settings::TunnelSettings;
use crate::door::identity::IdentityDoor;
use crate::door::policy::InForce;
use crate::door::records::Tell;
use crate::door::stop::{Stop, Stopper};
use crate::door::tunnel::Command;

/// Turns of flows between two looks at the sockets: a small request does not wait behind more than so many turns of
/// large ones. The runtime's own 61 are for tasks that do less in a turn.
const TURNS: u32 = 16;
/// How often connections without a flow are looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// How long flows that were told to end may take to do so.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the room is made of.
pub struct Parts {
    /// This node's name.
    pub node: String,
    /// The configuration.
    pub settings: TunnelSettings,
    /// Where control groups are.
    pub cgroup_root: PathBuf,
    /// Where a successor asks for the listeners.
    pub handover: PathBuf,
    /// Listeners that an earlier agent left.
    pub stock: Stock,
    /// The policy in force, and the node.
    pub policy: watch::Receiver<Arc<InForce>>,
    /// Who everybody is.
    pub identity: IdentityDoor,
    /// Where listeners stand, for who compiles the policy.
    pub ends: watch::Sender<Arc<BTreeMap<Name, TunnelEnd>>>,
    /// What is asked of it.
    pub commands: mpsc::Receiver<Command>,
    /// Where records go.
    pub tell: Tell,
    /// The time of day.
    pub clock: Clock,
    /// Told when a successor has taken over: this agent should go.
    pub succeeded: Arc<Notify>,
    /// The word to stop.
    pub stop: Stop,
}

/// The room, open on its own threads.
#[derive(Debug)]
pub struct Room(JoinHandle<()>);

impl Room {
    /// Opens it.
    ///
    /// # Errors
    /// The threads cannot be started.
    pub fn open(parts: Parts) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(parts.settings.threads)
            .event_interval(TURNS)
            .thread_name("tunnel")
            .enable_all()
            .build()?;
        let thread = ThreadBuilder::new().name("tunnel".to_owned()).spawn(move || {
            runtime.block_on(run(parts));
            runtime.shutdown_background();
        })?;
        Ok(Self(thread))
    }

    /// Waits until it is closed: after the word to stop, and after what is carried has drained.
    pub fn join(self) {
        if self.0.join().is_err() {
            warn!("the tunnel's thread had failed");
        }
    }
}

async fn run(parts: Parts) {
    let Parts {
        node,
        settings,
        cgroup_root,
        handover,
        stock,
        policy,
        identity,
        ends,
        commands,
        tell,
        clock,
        succeeded,
        stop,
    } = parts;
    let check = PeerCheck::new(Arc::clone(&identity.verify), identity.trust.clone(), Arc::clone(&clock));
    let budgets = Arc::new(Budgets::new(settings.limits));
    let court = court_of(&policy.borrow());
    let groups = watch::Sender::new(Arc::new(groups_of(&policy.borrow())));
    let drain_timeout = settings.drain_timeout;
    let shared = Arc::new(Shared {
        node,
        fleet: TrustDomain::clone(&identity.fleet),
        hops: Hops { native: settings.native, hbone: settings.hbone },
        registry: Registry::new(court, Arc::clone(&identity.is_revoked), budgets),
        check: Arc::new(check),
        idle: Idle::new(settings.idle_timeout),
        hbone_peers: HbonePeers::default(),
        hbone: HbonePool::new(settings.idle_timeout),
        groups: groups.subscribe(),
        standing: watch::Sender::default(),
        listeners: Mutex::default(),
        drain: stop.clone(),
        credentials: identity.credentials.clone(),
        trust: identity.trust.clone(),
        is_revoked: Arc::clone(&identity.is_revoked),
        tell,
        wardrobe: Mutex::default(),
        tenants: Mutex::default(),
        settings,
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(judge(Arc::clone(&shared), policy.clone(), groups));
    tasks.spawn(watch_trust(Arc::clone(&shared), identity));
    // Certificates end while flows drain, too.
    let closed = Stopper::default();
    tasks.spawn(follow_deadlines(Arc::clone(&shared.registry), clock, closed.listener()));
    tasks.spawn(sweep(Arc::clone(&shared)));
    tasks.spawn(answer(Arc::clone(&shared), commands));
    tasks.spawn(offer(Arc::clone(&shared), handover, succeeded));
    let posts = Posts::new(Arc::clone(&shared), cgroup_root, stock, ends);
    let posts = posts.keep(policy, stop).await;
    drain(&shared, posts, drain_timeout).await;
    closed.stop();
    tasks.shutdown().await;
}

/// Waits for a successor. Once it has the listeners, it is its turn.
async fn offer(shared: Arc<Shared>, path: PathBuf, succeeded: Arc<Notify>) {
    match handover::offer(&path, || shared.listeners()).await {
        Ok(_) => succeeded.notify_one(),
        Err(error) => warn!(%error, "a successor will not find the listeners: it has to make its own"),
    }
}

/// Nothing new is begun; what is carried goes on for a while, then is told to end.
async fn drain(shared: &Arc<Shared>, posts: Posts, patience: Duration) {
    shared.idle.clear();
    shared.hbone.drain();
    posts.leave();
    let flows = shared.registry.len();
    if flows > 0 {
        info!(flows, seconds = patience.as_secs(), "flows in the tunnel may go on for a while");
    }
    if timeout(patience, shared.registry.emptied()).await.is_err() {
        warn!(flows = shared.registry.len(), "the time is over for flows in the tunnel");
        shared.registry.end_all(EndReason::Drained);
        let _cut_off_if_not = timeout(LAST_WORDS, shared.registry.emptied()).await;
    }
}

/// Judges every flow again whenever the policy or the node changes.
async fn judge(
    shared: Arc<Shared>,
    mut policy: watch::Receiver<Arc<InForce>>,
    groups: watch::Sender<Arc<BTreeMap<u64, Name>>>,
) {
    loop {
        let in_force = Arc::clone(&policy.borrow_and_update());
        groups.send_replace(Arc::new(groups_of(&in_force)));
        // It takes its time, and bytes go on meanwhile: its thread gives the others' work away.
        block_in_place(|| shared.registry.reauthorize(court_of(&in_force), shared.now()));
        let (tenants, here) = (&in_force.current.policy.tenants, &in_force.facts.attachments);
        shared.retain(|name| tenants.contains_key(name), |name| here.contains_key(name));
        if policy.changed().await.is_err() {
            return;
        }
    }
}

/// Hears every flow again whenever somebody is revoked, and closes what waits for flows of theirs.
async fn watch_trust(shared: Arc<Shared>, identity: IdentityDoor) {
    let mut trust = identity.trust;
    while trust.changed().await.is_ok() {
        trust.borrow_and_update();
        block_in_place(|| shared.registry.recheck(shared.now()));
        shared.registry.end_of(|workload| shared.is_revoked_by_name(workload), EndReason::Revoked);
        shared.idle.retain(|pair, facts| !shared.is_taken_away(&pair.workload, facts));
        shared.hbone.retain(|key, facts| !shared.is_taken_away(&key.workload, facts));
    }
}

async fn sweep(shared: Arc<Shared>) {
    let mut poll = interval(SWEEP);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        poll.tick().await;
        shared.idle.sweep(shared.now());
        shared.hbone.retain(|_, _| true);
    }
}

async fn answer(shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        match command {
            Command::List(tenant, reply) => {
                let mut list = block_in_place(|| shared.registry.list(tenant.as_ref()));
                list.ends = ends(&shared, tenant.as_ref());
                let _gone = reply.send(list);
            }
            Command::Metrics(reply) => {
                let _gone = reply.send(block_in_place(|| shared.registry.metrics()));
            }
        }
    }
}

fn ends(shared: &Shared, tenant: Option<&Name>) -> Vec<v1::TunnelEnd> {
    let court = shared.registry.court();
    let credentials = Arc::clone(&shared.credentials.borrow());
    let standing = Arc::clone(&shared.standing.borrow());
    let end = |(name, stands): (&Name, &Result<TunnelEnd, String>)| {
        let owner = court.policy().workloads.get(name).map(|workload| Arc::clone(&workload.tenant))?;
        let credential = credentials.get(name);
        let reason = match (stands, credential) {
            (Err(reason), _) => reason.clone(),
            (Ok(_), None) => "it has no certificate".to_owned(),
            (Ok(_), Some(_)) => String::new(),
        };
        tenant.is_none_or(|tenant| owner == *tenant).then(|| v1::TunnelEnd {
            workload: name.to_string(),
            tenant: owner.to_string(),
            ready: reason.is_empty(),
            reason,
            serial: credential.map(|credential| credential.serial.clone()).unwrap_or_default(),
        })
    };
    standing.iter().filter_map(end).collect()
}

fn court_of(in_force: &InForce) -> Arc<Court> {
    let InForce { current, facts, .. } = in_force;
    Arc::new(Court::new(Arc::clone(&current.policy), Arc::clone(facts), current.number))
}

fn groups_of(in_force: &InForce) -> BTreeMap<u64, Name> {
    let attachments = in_force.facts.attachments.iter();
    attachments.filter_map(|(name, attachment)| Some((attachment.cgroup?, Arc::clone(name)))).collect()
}
