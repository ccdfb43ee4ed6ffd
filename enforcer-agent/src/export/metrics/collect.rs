//! Asks the rooms, seldom: reading the kernel back takes the policy room's time. Who comes in between gets what was
//! collected last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::enforce::Loss;
use enforcer_proto::v1;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::family::merged;
use super::kernel::Losses;
use super::pairs::{self, Counted, Kept, Pair};
use super::{Family, joined, kernel, node, process, traces};
use crate::door::identity::{self, IdentityDoor};
use crate::door::policy::{Closed, InForce, PolicyDoor, Report};
use crate::door::records::Scope;
use crate::door::trace::{self, TraceDoor};
use crate::door::tunnel::{self, TunnelDoor};

/// How long the rooms may take to answer; then their last answers stand.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// How old the report on hooks and tables may be: for it the whole of the kernel's tables is read.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// What the node is.
#[derive(Clone, Debug)]
pub struct NodeWords {
    /// Its name.
    pub name: String,
    /// The agent's version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// `enforce` or `audit`.
    pub device_gate_mode: String,
    /// When the agent started.
    pub started: SystemTime,
}

/// Records in memory, since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordTotals {
    /// Ever stored.
    pub stored: u64,
    /// Held now.
    pub held: u64,
    /// Pushed out, of those that matter most.
    pub evicted: u64,
    /// Pushed out, of allowed flows.
    pub evicted_samples: u64,
}

/// Whom to ask.
#[derive(Clone)]
pub struct Sources {
    /// The policy room.
    pub policy: PolicyDoor,
    /// The identity room, unless it was turned off.
    pub identity: Option<IdentityDoor>,
    /// The tunnel room, unless it was turned off.
    pub tunnel: Option<TunnelDoor>,
    /// The records.
    pub records: Arc<dyn Fn() -> RecordTotals + Send + Sync>,
    /// The store of traces, where there is one.
    pub traces: Option<TraceDoor>,
    /// The node.
    pub node: NodeWords,
}

/// What was collected, before it is known who asks.
#[derive(Default)]
struct Snapshot {
    counters: BTreeMap<Pair, Counted>,
    losses: Losses,
    /// For who may see everything.
    node: Vec<Family>,
    /// With a label that says whose a series is.
    joined: Vec<Family>,
    /// Names of tenants, those that are gone too.
    tenants: BTreeSet<String>,
}

/// The last answers, and the questions that were not answered yet: nobody is asked twice at once.
#[derive(Default)]
struct Cache {
    snapshot: Arc<Snapshot>,
    collected: Option<Instant>,
    counters: BTreeMap<Pair, Counted>,
    tenants: BTreeSet<String>,
    losses: Losses,
    report: Option<(Instant, Report)>,
    identity: Vec<Family>,
    tunnel: Vec<Family>,
    traces: Vec<Family>,
    asked: Asked,
}

#[derive(Default)]
struct Asked {
    counters: Question<Cells>,
    losses: Question<Vec<Loss>>,
    report: Question<Report>,
    identity: Question<String>,
    tunnel: Question<String>,
    traces: Question<v1::TraceStatusResponse>,
}

type Cells = Vec<(CounterKey, CounterValue)>;

/// A question that is under way.
struct Question<T>(Option<JoinHandle<Option<T>>>);

impl<T> Default for Question<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Question<T> {
    /// The answer, if it comes in time. Else the question stays, and its answer is taken the next time.
    async fn answer<E: Send + 'static, C: Send + 'static>(
        &mut self,
        deadline: Instant,
        ask: impl Future<Output = Result<Result<T, E>, C>> + Send + 'static,
    ) -> Option<T> {
        let ask = || tokio::spawn(async move { ask.await.ok().and_then(Result::ok) });
        let mut asked = self.0.take().unwrap_or_else(ask);
        match timeout_at(deadline, &mut asked).await {
            Ok(answer) => answer.ok().flatten(),
            Err(_) => {
                self.0 = Some(asked);
                None
            }
        }
    }
}

/// Families that are asked for anew each time.
type Own = Box<dyn Fn() -> Vec<Family> + Send + Sync>;

/// Collects.
pub struct Collector {
    sources: Sources,
    min_interval: Duration,
    kept: Mutex<Kept>,
    cache: tokio::sync::Mutex<Cache>,
    /// What this room says of itself.
    own: Mutex<Vec<Own>>,
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("min_interval", &self.min_interval).finish_non_exhaustive()
    }
}

impl Collector {
    /// For a node, with so many verdict counters of their own, asking not more often than every `min_interval`.
    #[must_use]
    pub fn new(sources: Sources, pairs_max: usize, min_interval: Duration) -> Self {
        Self {
            sources,
            min_interval,
            kept: Mutex::new(Kept::new(pairs_max)),
            cache: tokio::sync::Mutex::default(),
            own: Mutex::default(),
        }
    }

    /// Adds families that are asked for anew each time; their series are a tenant's by their label `tenant`.
    pub(crate) fn add(&self, own: impl Fn() -> Vec<Family> + Send + Sync + 'static) {
        self.own.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(own));
    }

    /// When the agent started.
    pub(crate) const fn started(&self) -> SystemTime {
        self.sources.node.started
    }

    /// Everything that somebody may see.
    pub(crate) async fn families(&self, scope: &Scope) -> Vec<Family> {
        let snapshot = self.snapshot().await;
        let own: Vec<Family> = {
            let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
            merged(own.iter().flat_map(|families| families()).collect())
        };
        let joined = snapshot.joined.iter().chain(&own);
        let mut families = match scope {
            Scope::Everything => {
                let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                let mut families = snapshot.node.clone();
                families.extend(pairs::everything(&snapshot.counters, &mut kept));
                families.push(kernel::loss_family(&snapshot.losses, None));
                families.extend(joined.cloned());
                families
            }
            Scope::Tenant(tenant) => {
                let is_tenant = |name: &str| snapshot.tenants.contains(name);
                let mut families = pairs::of_tenant(&snapshot.counters, tenant, is_tenant);
                families.push(kernel::loss_family(&snapshot.losses, Some(tenant)));
                families.extend(joined.map(|family| family.of_tenant(tenant)));
                families
            }
        };
        let cut = joined::bounded(&mut families);
        families.push(cut);
        families
    }

    /// Collects, unless that was done just now. Who asks meanwhile waits for the same.
    async fn snapshot(&self) -> Arc<Snapshot> {
        let mut cache = self.cache.lock().await;
        let now = Instant::now();
        if cache.collected.is_some_and(|collected| now < collected + self.min_interval) {
            return Arc::clone(&cache.snapshot);
        }
        cache.snapshot = Arc::new(self.collect(&mut cache, now).await);
        cache.collected = Some(now);
        Arc::clone(&cache.snapshot)
    }

    async fn collect(&self, cache: &mut Cache, now: Instant) -> Snapshot {
        let in_force = self.sources.policy.in_force();
        let late = self.ask(cache, now, &in_force).await;
        let Sources { records, node, .. } = &self.sources;
        let mut families = node::words(node);
        families.extend(node::policy(&in_force));
        families.extend(node::records(records()));
        families.extend(cache.report.iter().flat_map(|(_, report)| kernel::report(report)));
        families.extend(process::families(node.started));
        families.push(late);
        Snapshot {
            counters: cache.counters.clone(),
            losses: cache.losses.clone(),
            node: families,
            joined: [&cache.identity, &cache.tunnel, &cache.traces].into_iter().flatten().cloned().collect(),
            tenants: cache.tenants.clone(),
        }
    }

    /// Asks every room at once, and says which did not answer.
    async fn ask(&self, cache: &mut Cache, now: Instant, in_force: &InForce) -> Family {
        let Sources { policy, identity, tunnel, traces, .. } = self.sources.clone();
        let deadline = now + ANSWER_MAX;
        let (has_identity, has_tunnel, has_traces) = (identity.is_some(), tunnel.is_some(), traces.is_some());
        let is_report_due = cache.report.as_ref().is_none_or(|(read, _)| now >= *read + REPORT_EVERY);
        let (policy_2, policy_3) = (policy.clone(), policy.clone());
        let asked = &mut cache.asked;
        let (counters, losses, report, identity, tunnel, traces) = tokio::join!(
            asked.counters.answer(deadline, async move { policy.counters().await }),
            asked.losses.answer(deadline, async move { policy_2.losses().await }),
            when(is_report_due, asked.report.answer(deadline, async move { policy_3.report().await })),
            when(has_identity, asked.identity.answer(deadline, text_of_identity(identity))),
            when(has_tunnel, asked.tunnel.answer(deadline, text_of_tunnel(tunnel))),
            when(has_traces, asked.traces.answer(deadline, status_of_traces(traces))),
        );
        let help = "1 when a part of the agent did not answer in time and its last answer stands.";
        let mut late = Family::gauge("enforcer_metrics_stale", help);
        let parts = [
            ("counters", true, counters.is_none()),
            ("losses", true, losses.is_none()),
            ("report", is_report_due, report.is_none()),
            ("identity", has_identity, identity.is_none()),
            ("tunnel", has_tunnel, tunnel.is_none()),
            ("traces", has_traces, traces.is_none()),
        ];
        for (part, _, is_late) in parts.into_iter().filter(|(_, is_asked, _)| *is_asked) {
            late.push(&[("part", part)], u64::from(is_late));
        }
        if let Some(cells) = counters {
            cache.tenants = kernel::tenants(&cells, in_force);
            cache.counters = kernel::counters(cells, in_force);
        }
        cache.losses =
            losses.map_or(std::mem::take(&mut cache.losses), |losses| kernel::losses(losses, in_force));
        cache.report = report.map(|report| (now, report)).or(cache.report.take());
        cache.identity = identity.map_or(std::mem::take(&mut cache.identity), |text| joined::families(&text));
        cache.tunnel = tunnel.map_or(std::mem::take(&mut cache.tunnel), |text| joined::families(&text));
        cache.traces = traces.map_or(std::mem::take(&mut cache.traces), |status| traces::families(&status));
        late
    }
}

/// What a future gives, if it is wanted.
async fn when<T>(is_wanted: bool, future: impl Future<Output = Option<T>>) -> Option<T> {
    if is_wanted { future.await } else { None }
}

async fn text_of_identity(door: Option<IdentityDoor>) -> Result<Result<String, Closed>, Closed> {
    let door = door.ok_or(Closed)?;
    door.ask(identity::Command::Metrics).await.map(Ok)
}

async fn text_of_tunnel(door: Option<TunnelDoor>) -> Result<Result<String, Closed>, Closed> {
    let door = door.ok_or(Closed)?;
    door.ask(tunnel::Command::Metrics).await.map(Ok)
}

async fn status_of_traces(
    door: Option<TraceDoor>,
) -> Result<Result<v1::TraceStatusResponse, trace::Refused>, Closed> {
    let door = door.ok_or(Closed)?;
    door.ask(|reply| trace::Command::Status(Scope::Everything, reply)).await
}
