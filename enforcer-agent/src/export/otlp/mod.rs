//! Records and metrics for OpenTelemetry collectors, over OTLP/gRPC. Each collector has a spool and three tasks: one
//! gathers records into the spool, one sends them from there, one sends metrics. A collector that is away holds up nobody.

mod attributes;
mod collector;
mod gather;
mod metrics;
mod record;
mod resource;
mod rules;
mod send;
mod spool;
mod stats;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enforcer_core::event::record::LOSS;
use enforcer_proto::v1;
use tokio::sync::Notify;
use tokio::task::{JoinSet, spawn_blocking};
use tracing::{info, warn};
use zeroize::Zeroizing;

use self::collector::Collector;
use self::gather::Shape;
use self::spool::{Batch, Cipher, Next, Spool, SpoolError};
use self::stats::{Cause, Stats};
use super::metrics::Collector as Metrics;
use crate::config::settings::{CollectorSettings, OtlpSettings};
use crate::door::records::{Scope, Start, Subscribe, Tell};
use crate::door::stop::Stop;

/// A call holds at most so many bytes of records.
const BATCH_MAX_BYTES: usize = 512 * 1024;

/// Why there is no exporter.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A spool cannot be used.
    #[error("the spool of {collector}: {error}")]
    Spool {
        /// Whose.
        collector: String,
        /// Why.
        error: String,
    },
}

/// Which numbering the records of this run belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// Numbers go on over restarts: traces are kept.
    Continues,
    /// Numbers begin anew with each agent.
    StartsAnew,
}

/// Who exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// The agent's version.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
}

/// What the exporter is joined to.
pub struct Parts {
    /// Which collectors, and how.
    pub settings: OtlpSettings,
    /// Spools are below it, unless the settings say where.
    pub state_directory: PathBuf,
    /// Seals the spools; `None` where the node has no key-encryption key.
    pub key: Option<Zeroizing<[u8; 32]>>,
    /// Who exports.
    pub node: Node,
    /// Whether numbers go on over restarts.
    pub numbering: Numbering,
    /// The records.
    pub subscribe: Subscribe,
    /// Where losses are told.
    pub tell: Tell,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The word to stop.
    pub stop: Stop,
}

/// Opens the spools and starts the tasks.
///
/// # Errors
/// A spool cannot be used.
pub fn open(parts: Parts, tasks: &mut JoinSet<()>) -> Result<(), OtlpError> {
    let everything = parts.settings.everything.clone().map(|collector| (Scope::Everything, collector));
    let tenants = parts.settings.tenants.clone();
    let tenants = tenants.into_iter().map(|(tenant, collector)| (Scope::Tenant(tenant), collector));
    if parts.key.is_none() {
        warn!("records that wait for a collector lie unsealed on disk: this node has no key-encryption key");
    }
    for (scope, collector) in everything.into_iter().chain(tenants) {
        start(&parts, scope, collector, tasks)?;
    }
    Ok(())
}

fn start(
    parts: &Parts,
    scope: Scope,
    settings: CollectorSettings,
    tasks: &mut JoinSet<()>,
) -> Result<(), OtlpError> {
    let Parts {
        settings: OtlpSettings { batch_records, batch_delay, timeout, metrics_interval, .. }, ..
    } = parts;
    let (pipe, begin) = Pipe::open(parts, &scope)?;
    let pipe = Arc::new(pipe);
    let shape = Shape { records: *batch_records, bytes: pipe.batch_max_bytes(), delay: *batch_delay };
    let records = (parts.subscribe)(scope.clone(), begin, true);
    let endpoint = settings.endpoint.to_string();
    info!(collector = pipe.name, endpoint, "records and metrics go to a collector");
    let stats = Arc::clone(&pipe.stats);
    let tenant = pipe.tenant.clone();
    parts.metrics.add(move || stats.families(&tenant));
    let connect = || Collector::new(settings.clone(), *timeout);
    tasks.spawn(gather::run(Arc::clone(&pipe), records, shape, Arc::clone(&parts.tell), parts.stop.clone()));
    tasks.spawn(send::run(Arc::clone(&pipe), connect(), parts.stop.clone()));
    let metrics = Arc::clone(&parts.metrics);
    tasks.spawn(metrics::run(pipe, metrics, (connect(), scope), *metrics_interval, parts.stop.clone()));
    Ok(())
}

/// One collector's spool, and what its tasks share.
#[derive(Debug)]
struct Pipe {
    /// For people.
    name: String,
    /// Whose records; empty for all.
    tenant: String,
    node: Node,
    run: u64,
    /// The last record that the spool had when it was opened.
    last: u64,
    spool: Mutex<Spool>,
    stats: Arc<Stats>,
    /// Something was appended.
    news: Notify,
}

impl Pipe {
    /// Opens the spool, and says where to go on reading.
    fn open(parts: &Parts, scope: &Scope) -> Result<(Self, Start), OtlpError> {
        let (name, tenant) = match scope {
            Scope::Everything => ("everything".to_owned(), String::new()),
            Scope::Tenant(tenant) => (format!("tenant={tenant}"), tenant.to_string()),
        };
        let directory = spool_directory(parts).join(&name);
        let refused = |error: String| OtlpError::Spool { collector: name.clone(), error };
        let cipher =
            Cipher::new(parts.key.as_deref()).ok_or_else(|| refused("the key is unusable".to_owned()))?;
        let opened = Spool::open(&directory, cipher, parts.settings.spool_max_bytes);
        let (spool, recovered) = opened.map_err(|error| refused(error.to_string()))?;
        if recovered.torn_bytes > 0 {
            let bytes = recovered.torn_bytes;
            warn!(collector = name, bytes, "a write to the spool was cut off; its records are read again");
        }
        let run = match parts.numbering {
            Numbering::Continues => 0,
            Numbering::StartsAnew => nanoseconds(parts.metrics.started()),
        };
        let (begin, last) = match recovered.last {
            Some((of_run, last)) if of_run == run => (Start::After(last), last),
            Some(_) | None => (Start::Oldest, 0),
        };
        let stats = Arc::new(Stats::default());
        stats.spool(spool.records(), spool.bytes());
        let node = parts.node.clone();
        let pipe =
            Self { name, tenant, node, run, last, spool: Mutex::new(spool), stats, news: Notify::new() };
        Ok((pipe, begin))
    }

    fn batch_max_bytes(&self) -> usize {
        let limit = self.lock().batch_max_bytes();
        // Room for the header, and for one record more than fits.
        usize::try_from(limit / 2).unwrap_or(usize::MAX).min(BATCH_MAX_BYTES)
    }

    async fn append(self: &Arc<Self>, batch: Batch) -> Result<(), SpoolError> {
        let done = self.with_spool(move |pipe, spool| {
            let (dropped, room) = spool.make_room(&batch);
            pipe.stats.lose(Cause::SpoolFull, dropped);
            room.and_then(|()| spool.append(&batch))
        });
        let done = done.await;
        self.news.notify_one();
        done
    }

    async fn next(self: &Arc<Self>) -> Result<Next, SpoolError> {
        self.with_spool(|_, spool| spool.next()).await
    }

    async fn take_off(self: &Arc<Self>, id: u64) -> Result<(), SpoolError> {
        self.with_spool(move |_, spool| spool.take_off(id)).await
    }

    /// Disks are slow: off the threads that must not wait.
    async fn with_spool<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &mut Spool) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let pipe = Arc::clone(self);
        let worked = spawn_blocking(move || {
            let mut spool = pipe.lock();
            let done = work(&pipe, &mut spool);
            pipe.stats.spool(spool.records(), spool.bytes());
            done
        });
        // The runtime ends, or the work panicked: either way nothing was done.
        worked.await.unwrap_or(Err(SpoolError::Cipher))
    }

    /// The spool's state is whole at every point where it could panic.
    fn lock(&self) -> std::sync::MutexGuard<'_, Spool> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spool_directory(parts: &Parts) -> PathBuf {
    let below_state = || Path::new(&parts.state_directory).join("export").join("otlp");
    parts.settings.spool_directory.clone().unwrap_or_else(below_state)
}

/// A record of what does not reach a collector.
fn loss(pipe: &Pipe, cause: Cause, records: u64) -> v1::Record {
    let now = SystemTime::now();
    let source = (!pipe.tenant.is_empty())
        .then(|| v1::Endpoint { identity: pipe.tenant.clone(), ..v1::Endpoint::default() });
    v1::Record {
        time: Some(prost_types::Timestamp::from(now)),
        node: pipe.node.name.clone(),
        r#type: LOSS.to_owned(),
        reason: cause.word().to_owned(),
        lost_before: records,
        source,
        ..v1::Record::default()
    }
}

fn now_ns() -> u64 {
    nanoseconds(SystemTime::now())
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
