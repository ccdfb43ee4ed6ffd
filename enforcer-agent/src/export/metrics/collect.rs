//! Asks the rooms, seldom: reading the kernel back takes the policy room's time. Who comes in between gets what was
//! collected last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, timeout};

use super::family::merged;
use super::kernel::Losses;
use super::pairs::{self, Counted, Kept, Pair};
use super::{Family, joined, kernel, node, process, traces};
use crate::door::identity::{self, IdentityDoor};
use crate::door::policy::{PolicyDoor, Report};
use crate::door::records::Scope;
use crate::door::trace::{self, TraceDoor};
use crate::door::tunnel::{self, TunnelDoor};

/// How long a room may take to answer; then its last answer stands.
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

#[derive(Default)]
struct Cache {
    snapshot: Arc<Snapshot>,
    collected: Option<Instant>,
    report: Option<(Instant, Report)>,
    counters: BTreeMap<Pair, Counted>,
    tenants: BTreeSet<String>,
    losses: Losses,
}

/// Collects.
pub struct Collector {
    sources: Sources,
    min_interval: Duration,
    kept: Mutex<Kept>,
    cache: tokio::sync::Mutex<Cache>,
    /// What this room says of itself.
    own: Mutex<Vec<Box<dyn Fn() -> Vec<Family> + Send + Sync>>>,
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
        let Sources { policy, identity, tunnel, records, traces, node } = &self.sources;
        let help = "1 when a part of the agent did not answer in time and its last answer stands.";
        let mut late = Family::gauge("enforcer_metrics_stale", help);
        let mut note = |part: &'static str, is_late: bool| late.push(&[("part", part)], u64::from(is_late));

        let in_force = policy.in_force();
        let counters = timeout(ANSWER_MAX, policy.counters()).await;
        note("counters", !matches!(counters, Ok(Ok(Ok(_)))));
        if let Ok(Ok(Ok(cells))) = counters {
            cache.tenants = kernel::tenants(&cells, &in_force);
            cache.counters = kernel::counters(cells, &in_force);
        }
        let losses = timeout(ANSWER_MAX, policy.losses()).await;
        note("losses", !matches!(losses, Ok(Ok(Ok(_)))));
        if let Ok(Ok(Ok(cells))) = losses {
            cache.losses = kernel::losses(cells, &in_force);
        }
        if cache.report.as_ref().is_none_or(|(read, _)| now >= *read + REPORT_EVERY) {
            let report = timeout(ANSWER_MAX, policy.report()).await;
            note("report", !matches!(report, Ok(Ok(Ok(_)))));
            if let Ok(Ok(Ok(report))) = report {
                cache.report = Some((now, report));
            }
        }
        let mut joined = Vec::new();
        if let Some(door) = identity {
            let text = timeout(ANSWER_MAX, door.ask(identity::Command::Metrics)).await;
            note("identity", !matches!(text, Ok(Ok(_))));
            joined.extend(text.ok().and_then(Result::ok).iter().flat_map(|text| joined::families(text)));
        }
        if let Some(door) = tunnel {
            let text = timeout(ANSWER_MAX, door.ask(tunnel::Command::Metrics)).await;
            note("tunnel", !matches!(text, Ok(Ok(_))));
            joined.extend(text.ok().and_then(Result::ok).iter().flat_map(|text| joined::families(text)));
        }
        if let Some(door) = traces {
            let status = door.ask(|reply| trace::Command::Status(Scope::Everything, reply));
            let status = timeout(ANSWER_MAX, status).await;
            note("traces", !matches!(status, Ok(Ok(Ok(_)))));
            if let Ok(Ok(Ok(status))) = status {
                joined.extend(traces::families(&status));
            }
        }
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
            joined,
            tenants: cache.tenants.clone(),
        }
    }
}
