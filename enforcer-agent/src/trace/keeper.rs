//! The thread that owns the store. It takes everything that waits at once, so that the disk is waited for once, and
//! whatever the disk does, nobody waits for this thread but those who ask it something.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as sync;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use enforcer_core::event::redact::viewers;
use enforcer_core::policy::model::UnixNanos;
use enforcer_proto::v1;
use enforcer_trace::keys::{KeyError, Keys};
use enforcer_trace::split::NODE;
use enforcer_trace::{Limits, Recovered, Store, StoreError};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use super::keys::VaultKeys;
use super::records::Teller;
use super::shared::Shared;
use crate::door::trace::{Destroy, Refused, Reply};

/// Batches between the records and the store; who finds it full waits, and the kernel counts.
pub const BATCHES_MAX: usize = 256;
/// Orders that wait.
pub(super) const ORDERS_MAX: usize = 8;
/// Batches that are written at once.
const TAKEN_MAX: usize = 256;
/// Fewer batches than this wait for others, so that a quiet node does not write a page for each record.
const FEW: usize = 16;
/// How long they wait.
const LINGER: Duration = Duration::from_millis(5);
/// How often the store does what is due.
const TICK: Duration = Duration::from_secs(1);
/// How often a store that is away is looked for.
const RETRY: Duration = Duration::from_secs(10);
/// How long the first look may take before the agent goes on without it.
const FIRST_MAX: Duration = Duration::from_secs(30);

/// What the thread is given.
pub struct Parts {
    /// Where the store is.
    pub directory: PathBuf,
    /// How much it keeps.
    pub limits: Limits,
    /// The keys.
    pub keys: Arc<VaultKeys>,
    /// The node's name.
    pub node: String,
    /// Where losses are told.
    pub teller: Teller,
    /// Time of day.
    pub clock: fn() -> UnixNanos,
    /// How long a predecessor may hold on to the store.
    pub predecessor_ends: Duration,
}

/// What the thread can be asked.
pub(super) enum Order {
    Seal(Reply<()>),
    Destroy(Destroy, Reply<String>),
}

/// The running thread.
pub struct Keeper {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) shared: Arc<Shared>,
    /// The number of the first record of this run.
    pub first: u64,
    thread: JoinHandle<()>,
}

impl Keeper {
    /// Starts the thread, and waits until it knows the number of the first record. Without a store, because the disk is
    /// away or full, numbers go on from the time of day, which is beyond every number that was counted.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(parts: Parts, records: mpsc::Receiver<Vec<Arc<v1::Record>>>) -> std::io::Result<Self> {
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let shared = Arc::new(Shared::new());
        let (opened, first) = sync::channel();
        let patience = FIRST_MAX + parts.predecessor_ends;
        let beyond = (parts.clock)() / 1_000;
        let work = Work { parts, shared: Arc::clone(&shared), store: None, unsaid: BTreeMap::new() };
        let thread = std::thread::Builder::new()
            .name("trace".to_owned())
            .spawn(move || work.run(records, inbox, &opened))?;
        let first = first.recv_timeout(patience).ok().flatten().unwrap_or(beyond);
        Ok(Self { orders, shared, first, thread })
    }

    /// Waits until everything that was handed over is written. Whoever hands records over must be gone.
    pub fn join(self, patience: Duration) {
        drop(self.orders);
        let deadline = Instant::now() + patience;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                error!("the disk with the traces does not answer; what was acknowledged is on it");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if self.thread.join().is_err() {
            error!("the thread that keeps traces had failed; what was acknowledged is on disk");
        }
    }
}

struct Work {
    parts: Parts,
    shared: Arc<Shared>,
    store: Option<Store>,
    /// Losses that are not told yet: while the disk takes nothing, it would not take these either.
    unsaid: BTreeMap<(String, &'static str), u64>,
}

impl Work {
    fn run(
        mut self,
        records: mpsc::Receiver<Vec<Arc<v1::Record>>>,
        orders: mpsc::Receiver<Order>,
        opened: &sync::Sender<Option<u64>>,
    ) {
        let first = self.open_first();
        // Nobody listens any more when it took too long.
        let _late = opened.send(first);
        match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(self.serve(records, orders)),
            Err(error) => error!(%error, "traces are not kept"),
        }
    }

    async fn serve(
        mut self,
        mut records: mpsc::Receiver<Vec<Arc<v1::Record>>>,
        mut orders: mpsc::Receiver<Order>,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut batches = Vec::new();
        let mut retry = Instant::now() + RETRY;
        loop {
            tokio::select! {
                biased;
                Some(order) = orders.recv() => self.obey(order),
                _ = tick.tick() => {
                    if self.store.is_none() && Instant::now() > retry {
                        self.open();
                        retry = Instant::now() + RETRY;
                    }
                    self.tick();
                }
                taken = records.recv_many(&mut batches, TAKEN_MAX) => {
                    if taken == 0 {
                        break;
                    }
                    if taken < FEW {
                        tokio::time::sleep(LINGER).await;
                        while batches.len() < TAKEN_MAX && let Ok(batch) = records.try_recv() {
                            batches.push(batch);
                        }
                    }
                    self.keep(std::mem::take(&mut batches).concat());
                }
            }
        }
        self.tick();
    }

    /// The first look: a predecessor may still be at it.
    fn open_first(&mut self) -> Option<u64> {
        let deadline = Instant::now() + self.parts.predecessor_ends;
        loop {
            match self.try_open() {
                Err(StoreError::Locked(_)) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => {
                    self.away(&error);
                    return None;
                }
                Ok(recovered) => {
                    self.found(&recovered);
                    return Some(recovered.sequence.saturating_add(1));
                }
            }
        }
    }

    fn open(&mut self) {
        match self.try_open() {
            Ok(recovered) => {
                self.found(&recovered);
                info!(directory = %self.parts.directory.display(), "traces are kept again");
            }
            Err(error) => self.away(&error),
        }
    }

    fn try_open(&mut self) -> Result<Recovered, StoreError> {
        let Parts { directory, limits, keys, node, clock, .. } = &self.parts;
        let keys: Arc<dyn Keys> = Arc::clone(keys) as Arc<dyn Keys>;
        let opened = self.shared.busy(|| Store::open(directory, limits.clone(), keys, node, clock()));
        let (store, recovered) = opened?;
        self.store = Some(store);
        Ok(recovered)
    }

    fn found(&mut self, recovered: &Recovered) {
        let Recovered { sequence, segments, torn_bytes, lost, problems } = recovered;
        info!(sequence, segments, torn_bytes, "the traces are open");
        for problem in problems {
            warn!(problem, "the traces are not as they were left; run `enforcerctl trace verify`");
        }
        for (tenant, lost) in lost {
            self.lose(tenant, "store_damaged", lost.records);
        }
        self.shared.view().away = None;
        self.shared.reached(*sequence);
        self.publish();
        self.tell_losses();
    }

    fn away(&self, error: &StoreError) {
        let sentence = format!("traces are not kept: {error}");
        let is_news = self.shared.view().away.as_ref() != Some(&sentence);
        if is_news {
            error!(%error, "traces are not kept; it is tried again");
            self.shared.view().away = Some(sentence);
        }
    }

    fn keep(&mut self, records: Vec<Arc<v1::Record>>) {
        let Some(store) = &mut self.store else {
            self.lose_all(&records, "store_away");
            return;
        };
        let now = (self.parts.clock)();
        match self.shared.busy(|| store.append(&records, now)) {
            Ok(appended) => {
                self.shared.reached(appended.sequence);
                for loss in &appended.lost {
                    self.lose(&loss.tenant, loss.cause, loss.records);
                }
                if self.shared.view().failing.take().is_some() {
                    info!("the traces are written again");
                }
                if !appended.lost.iter().any(|loss| loss.cause == FULL) {
                    self.tell_losses();
                }
            }
            Err(error) => {
                let cause = match &error {
                    error if error.is_full() => FULL,
                    error if error.is_read_only() => "store_read_only",
                    _ => "store_failed",
                };
                self.lose_all(&records, cause);
                let sentence = format!("records are not kept: {error}");
                // Once, and not for each batch: a log line is a record too.
                let is_news = self.shared.view().failing.replace(sentence).is_none();
                if is_news {
                    error!(%error, "records are not kept; what comes next is tried again");
                }
            }
        }
    }

    fn lose_all(&mut self, records: &[Arc<v1::Record>], cause: &'static str) {
        for record in records {
            let mut nobody = true;
            for tenant in viewers(record) {
                self.lose(tenant, cause, 1);
                nobody = false;
            }
            if nobody {
                self.lose(NODE, cause, 1);
            }
        }
    }

    fn lose(&mut self, tenant: &str, cause: &'static str, records: u64) {
        self.shared.lose(tenant, cause, records);
        let unsaid = self.unsaid.entry((tenant.to_owned(), cause)).or_default();
        *unsaid = unsaid.saturating_add(records);
    }

    /// Losses become records, once there is a disk that takes them.
    fn tell_losses(&mut self) {
        for ((tenant, cause), records) in std::mem::take(&mut self.unsaid) {
            // What cannot be sealed for the tenant would be lost again, and told again, for ever: the node is told.
            let whose = if cause.starts_with("key_") { NODE } else { &tenant };
            self.parts.teller.lost(whose, cause, records);
        }
    }

    fn tick(&mut self) {
        let now = (self.parts.clock)();
        if let Some(store) = &mut self.store {
            // What goes wrong stands in the status, and is tried again.
            let _told = self.shared.busy(|| store.tick(now));
        }
        self.publish();
    }

    fn publish(&self) {
        if let Some(store) = &self.store {
            let status = store.status();
            self.shared.view().status = status;
        }
    }

    /// Whoever is answered finds in the status what was done.
    fn obey(&mut self, order: Order) {
        match order {
            Order::Seal(reply) => {
                let sealed = self.seal();
                self.publish();
                let _gone = reply.send(sealed);
            }
            Order::Destroy(destroy, reply) => {
                let receipt = self.destroy(&destroy);
                self.publish();
                let _gone = reply.send(receipt);
            }
        }
    }

    fn seal(&mut self) -> Result<(), Refused> {
        let now = (self.parts.clock)();
        let store = self.store.as_mut().ok_or_else(|| Refused::Away(self.shared.problems().join("; ")))?;
        self.shared.busy(|| store.seal(now)).map_err(|error| Refused::Away(error.to_string()))
    }

    fn destroy(&mut self, order: &Destroy) -> Result<String, Refused> {
        let Destroy { tenant, reason, actor } = order;
        if tenant == NODE {
            return Err(Refused::Senseless("what belongs to no tenant has no tenant's key".to_owned()));
        }
        let now = (self.parts.clock)();
        let store = self.store.as_mut().ok_or_else(|| Refused::Away(self.shared.problems().join("; ")))?;
        let id = self.parts.keys.destroy(tenant).map_err(|error| match error {
            KeyError::Unknown(_) => {
                Refused::Unknown(format!("no traces of a tenant {tenant:?} are kept here"))
            }
            error => Refused::Away(error.to_string()),
        })?;
        warn!(tenant, key = id, actor, reason, "a tenant's traces were destroyed");
        self.parts.teller.destroyed(&id, actor, reason);
        let receipt = self.shared.busy(|| store.destroyed(tenant, reason, actor, now));
        let unwritten = |error| {
            Refused::Away(format!(
                "the key {id} is destroyed for good; its receipt could not be written: {error}"
            ))
        };
        Ok(receipt.map_err(unwritten)?.to_json())
    }
}

const FULL: &str = "store_full";
