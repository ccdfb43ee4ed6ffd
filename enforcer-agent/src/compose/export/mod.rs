//! What leaves the node, joined to the rooms that have it: the endpoint for Prometheus, and OpenTelemetry collectors.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::rand;
use enforcer_core::identity::x509::leaf::parse_leaf;
use rustls_pki_types::CertificateDer;
use tokio::task::JoinSet;
use tracing::{error, warn};
use zeroize::Zeroizing;

use crate::admin::caller::Caller;
use crate::admin::listen::guests::Guests;
use crate::admin::listen::tls::{Callers, Own, TlsSource};
use crate::admin::{Admin, NodeIdentity};
use crate::config::Settings;
use crate::config::settings::{MetricsSettings, MetricsTls, OtlpSettings};
use crate::door::identity::IdentityDoor;
use crate::door::records::{Scope, Subscribe, Tell};
use crate::door::stop::Stopper;
use crate::export::lines;
use crate::export::metrics::{Collector, MetricsDoor, NodeWords, RecordTotals, Sources, Tls};
use crate::export::otlp::{self, Node, Numbering};
use crate::forensics::{Forensics, Totals};
use crate::identity::custody::{CustodyError, Durability, Vault};

/// Where the key that seals spools is kept.
const DRAWER: &str = "export";
const ITEM: &str = "spool";
/// Where there is no endpoint that says otherwise: verdict counters of their own, and how old an answer may be.
const PAIRS_MAX: usize = 2_000;
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// What the room is joined to.
pub(super) struct Joints<'a> {
    pub(super) admin: &'a Admin,
    pub(super) forensics: Forensics,
    pub(super) vault: Option<Arc<Vault>>,
    pub(super) tell: Tell,
    pub(super) stopper: &'a Stopper,
}

/// Opens what the configuration asks for.
pub(super) async fn open(
    settings: &Settings,
    joints: Joints<'_>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let (metrics, otlp) = (&settings.export.metrics, &settings.export.otlp);
    if let Some(lines) = &settings.export.json_lines {
        let (records, keeps_traces) = (subscribe(&joints.forensics), joints.admin.trace.is_some());
        tasks.spawn(lines::run(lines.clone(), records, keeps_traces, joints.stopper.listener()));
    }
    if metrics.is_none() && otlp.is_none() {
        return Ok(());
    }
    let collector = Arc::new(collector(metrics.as_ref(), &joints));
    if let Some(metrics) = metrics {
        let tls = metrics.tls.as_ref().map(|tls| self::tls(tls, joints.admin.identity.as_ref()));
        let door = MetricsDoor::open(metrics.address, Arc::clone(&collector), tls.transpose()?).await?;
        tasks.spawn(door.run(joints.stopper.listener()));
    }
    if let Some(otlp) = otlp {
        let parts = parts(settings, otlp, &joints, collector);
        // The walls and the records go on without it.
        if let Err(error) = otlp::open(parts, tasks) {
            error!(%error, "records go to no collector");
        }
    }
    Ok(())
}

fn collector(settings: Option<&MetricsSettings>, joints: &Joints<'_>) -> Collector {
    let Admin { policy, identity, tunnel, trace, node, .. } = joints.admin;
    let forensics = joints.forensics.clone();
    let sources = Sources {
        policy: policy.clone(),
        identity: identity.clone(),
        tunnel: tunnel.clone(),
        records: Arc::new(move || totals(forensics.totals())),
        traces: trace.clone(),
        node: words(node),
    };
    let pairs_max = settings.map_or(PAIRS_MAX, |settings| settings.pairs_max);
    let min_interval = settings.map_or(MIN_INTERVAL, |settings| settings.min_interval);
    Collector::new(sources, pairs_max, min_interval)
}

fn totals(totals: Totals) -> RecordTotals {
    let Totals { stored, held, evicted, evicted_samples, flows: _ } = totals;
    RecordTotals { stored, held, evicted, evicted_samples }
}

fn words(node: &NodeIdentity) -> NodeWords {
    let NodeIdentity { name, version, kernel, device_gate_mode, started } = node;
    NodeWords {
        name: name.clone(),
        version: version.clone(),
        kernel: kernel.clone(),
        device_gate_mode: device_gate_mode.clone(),
        started: *started,
    }
}

/// The same checks as at the network door, with a list of its own.
fn tls(settings: &MetricsTls, identity: Option<&IdentityDoor>) -> anyhow::Result<Tls> {
    let wall = || identity.context("metrics have no certificates, and the identity wall is turned off");
    let own = match &settings.own {
        Some(files) => Own::Files { certificate: files.certificate.clone(), key: files.key.clone() },
        None => Own::Wall(wall()?.own.clone()),
    };
    let callers = match &settings.client_ca {
        Some(path) => Callers::File(path.clone()),
        None => Callers::Wall(wall()?.verify.clone()),
    };
    let guests = Guests {
        allowed: settings.allowed.clone(),
        readers: settings.readers.clone(),
        fleet: None,
        is_revoked: identity.map(|door| door.is_revoked.clone()),
    };
    let source = TlsSource { own, callers, guests: guests.clone() };
    let load = move || {
        let config = source.load().map_err(|error| error.to_string())?;
        let mut config = rustls::ServerConfig::clone(&config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    };
    let scope = move |leaf: &CertificateDer<'_>| {
        let peer = parse_leaf(leaf).ok()?;
        match guests.caller(&peer.id)? {
            Caller::Remote(_) => Some(Scope::Everything),
            Caller::Reader { tenant, .. } => Some(Scope::Tenant(tenant)),
            Caller::Local { .. } | Caller::Node(_) | Caller::Refused => None,
        }
    };
    Ok(Tls { load: Arc::new(load), scope: Arc::new(scope) })
}

fn parts(
    settings: &Settings,
    otlp: &OtlpSettings,
    joints: &Joints<'_>,
    metrics: Arc<Collector>,
) -> otlp::Parts {
    let NodeIdentity { name, version, kernel, .. } = &*joints.admin.node;
    let keeps_traces = joints.admin.trace.is_some();
    let key = joints.vault.as_deref().and_then(|vault| {
        key(vault).inspect_err(|error| warn!(%error, "the spools' key cannot be had")).ok()
    });
    otlp::Parts {
        settings: otlp.clone(),
        state_directory: settings.state_directory.clone(),
        key,
        node: Node { name: name.clone(), version: version.clone(), kernel: kernel.clone() },
        numbering: if keeps_traces { Numbering::Continues } else { Numbering::StartsAnew },
        subscribe: subscribe(&joints.forensics),
        tell: Arc::clone(&joints.tell),
        metrics,
        stop: joints.stopper.listener(),
    }
}

/// The key that seals spools: made once, and kept in the vault.
fn key(vault: &Vault) -> Result<Zeroizing<[u8; 32]>, CustodyError> {
    let mut key = Zeroizing::new([0; 32]);
    match vault.get(DRAWER, ITEM)? {
        Some(kept) if kept.len() == key.len() => key.copy_from_slice(&kept),
        Some(_) | None => {
            rand::fill(key.as_mut_slice()).map_err(|_| CustodyError::Cipher("give random bytes"))?;
            vault.put(DRAWER, ITEM, key.as_slice(), Durability::Synced)?;
        }
    }
    Ok(key)
}

fn subscribe(forensics: &Forensics) -> Subscribe {
    let forensics = forensics.clone();
    Arc::new(move |scope, start, follow| forensics.subscribe(scope, start, follow))
}

#[cfg(test)]
mod tests;
