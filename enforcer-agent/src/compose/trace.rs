//! The trace room, opened over the identity room's vault.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use enforcer_proto::v1;
use enforcer_trace::{Keep, Limits};
use tokio::sync::mpsc;
use tracing::warn;
use zeroize::Zeroizing;

use super::clock;
use crate::config::Settings;
use crate::config::settings::{RetentionSettings, TraceSettings};
use crate::door::records::{Subscribe, Tell};
use crate::door::safe::{Safe, SafeError};
use crate::door::trace::TraceDoor;
use crate::forensics::Forensics;
use crate::identity::custody::{CustodyError, Durability, Vault};
use crate::trace::{BATCHES_MAX, Desk, DeskParts, Keeper, Parts, Shipping, Teller, VaultKeys};

/// How long the last records may take to the disk when the agent stops.
const KEEPER_ENDS: Duration = Duration::from_secs(10);
const DAY_NS: u64 = 24 * 3_600 * 1_000_000_000;

/// The vault, as the trace room sees it.
pub(super) struct Sealed(pub(super) Arc<Vault>);

impl Safe for Sealed {
    fn put(&self, drawer: &str, item: &str, contents: &[u8]) -> Result<(), SafeError> {
        self.0.put(drawer, item, contents, Durability::Synced).map_err(refused)
    }

    fn get(&self, drawer: &str, item: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SafeError> {
        self.0.get(drawer, item).map_err(refused)
    }

    fn items(&self, drawer: &str) -> Result<Vec<String>, SafeError> {
        self.0.items(drawer).map_err(refused)
    }

    fn destroy(&self, drawer: &str) -> Result<(), SafeError> {
        self.0.remove_drawer(drawer).map_err(refused)
    }
}

fn refused(error: CustodyError) -> SafeError {
    SafeError(error.to_string())
}

/// The room, open.
pub(super) struct Opened {
    pub(super) keeper: Keeper,
    pub(super) desk: Desk,
    pub(super) door: TraceDoor,
    /// Who copies the store elsewhere.
    pub(super) shipping: Option<Shipping>,
    /// Where records are handed over.
    pub(super) keep: mpsc::Sender<Vec<Arc<v1::Record>>>,
}

/// What the room is joined to.
pub(super) struct Joints {
    pub(super) forensics: Forensics,
    pub(super) vault: Option<Arc<Vault>>,
    pub(super) tell: Tell,
}

/// Opens the room, unless it was turned off. A store that cannot be opened keeps nobody from enforcing: it is told, and
/// tried again.
///
/// # Errors
/// The vault says no, or the system gives no thread.
pub(super) async fn open(
    settings: &Settings,
    joints: Joints,
    predecessor_ends: Duration,
) -> Result<Option<Opened>> {
    let Joints { forensics, vault, tell } = joints;
    let (Some(trace), Some(vault)) = (settings.trace.clone(), vault) else {
        if settings.identity.is_none() {
            warn!("no traces are kept: without `identity.enabled` there is no vault for their keys");
        }
        return Ok(None);
    };
    let node = settings.node_name.clone();
    let subscribe: Subscribe =
        Arc::new(move |scope, start, follow| forensics.subscribe(scope, start, follow));
    let open = move || start(&node, &trace, vault, (tell, subscribe), predecessor_ends);
    tokio::task::spawn_blocking(open).await.context("the traces")?.map(Some)
}

fn start(
    node: &str,
    trace: &TraceSettings,
    vault: Arc<Vault>,
    (tell, subscribe): (Tell, Subscribe),
    predecessor_ends: Duration,
) -> Result<Opened> {
    let shipping = trace.ship.as_ref().map(|ship| {
        let file = ship.options_file.as_deref();
        Shipping::open(trace.directory.clone(), &ship.url, &ship.options, file)
    });
    let shipping = shipping.transpose().context("trace.ship")?;
    let teller = Teller::new(node.to_owned(), tell);
    let keys = VaultKeys::open(Arc::new(Sealed(vault)), teller.clone());
    let keys = Arc::new(keys.context("the vault (or set `trace.enabled: false`)")?);
    let (keep, records) = mpsc::channel(BATCHES_MAX);
    let parts = Parts {
        directory: trace.directory.clone(),
        limits: limits(trace),
        keys: Arc::clone(&keys),
        node: node.to_owned(),
        teller: teller.clone(),
        clock: clock::now,
        predecessor_ends,
    };
    let keeper = Keeper::start(parts, records).context("cannot start the thread that keeps traces")?;
    let parts = DeskParts { directory: trace.directory.clone(), keys, teller, subscribe };
    let (desk, door) = Desk::open(parts, &keeper);
    Ok(Opened { keeper, desk, door, shipping, keep })
}

/// Waits until what was recorded is written.
pub(super) fn finish(keeper: Keeper) {
    keeper.join(KEEPER_ENDS);
}

fn limits(trace: &TraceSettings) -> Limits {
    let nanos = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    let keep = |retention: &RetentionSettings| Keep {
        age_ns: u64::from(retention.days).saturating_mul(DAY_NS),
        bytes: retention.max_bytes,
    };
    Limits {
        segment_bytes: trace.segment_bytes,
        segment_ns: nanos(trace.seal_interval),
        keep: keep(&trace.retention),
        tenants: trace.tenants.iter().map(|(name, retention)| (name.to_string(), keep(retention))).collect(),
        total_bytes: trace.total_bytes,
        free_bytes: trace.free_bytes,
        checkpoint_ns: nanos(trace.checkpoint_interval),
        ..Limits::default()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::identity::custody::{KekSource, commands};

    #[test]
    fn the_vault_is_a_safe_whose_drawers_can_be_destroyed() {
        let directory = TempDir::new().unwrap();
        let (key, vault) = (directory.path().join("kek"), directory.path().join("vault"));
        commands::init(&key, &vault).unwrap();
        let open = || Sealed(Arc::new(Vault::open(&vault, KekSource::File(key.clone())).unwrap()));
        let safe = open();
        safe.put("trace-_node", "a1", b"secret").unwrap();
        safe.put("trace-red", "b2", b"secret").unwrap();
        assert_eq!(open().items("trace-_node").unwrap(), ["a1"]);
        safe.destroy("trace-red").unwrap();
        let later = open();
        assert_eq!(later.get("trace-_node", "a1").unwrap().unwrap().as_slice(), b"secret");
        assert_eq!(later.get("trace-red", "b2").unwrap(), None);
        assert!(later.items("trace-red").unwrap().is_empty());
        assert!(later.put("Trace", "a", b"").is_err());
    }
}
