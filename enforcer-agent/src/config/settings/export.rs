//! What leaves the node, as it is told to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::policy::model::Name;
use http::Uri;

use super::CertificateFiles;

/// What leaves the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportSettings {
    /// An endpoint that Prometheus scrapes.
    pub metrics: Option<MetricsSettings>,
    /// OpenTelemetry collectors.
    pub otlp: Option<OtlpSettings>,
    /// A file of JSON lines.
    pub json_lines: Option<LinesSettings>,
}

/// A file of JSON lines, one a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinesSettings {
    /// Where.
    pub path: PathBuf,
    /// Bytes of the file before it becomes an older one.
    pub max_bytes: u64,
    /// Older ones that are kept.
    pub keep: u32,
}

/// An endpoint that Prometheus scrapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Mutual TLS; `None` is plaintext, on loopback or where the operator insists.
    pub tls: Option<MetricsTls>,
    /// Pairs of identities with a series of their own.
    pub pairs_max: usize,
    /// How old an answer may be.
    pub min_interval: Duration,
}

/// Who may scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsTls {
    /// The endpoint's certificate; `None` is the node's own.
    pub own: Option<CertificateFiles>,
    /// Who vouches for scrapers, PEM; `None` is the identity wall.
    pub client_ca: Option<PathBuf>,
    /// Who may see everything.
    pub allowed: BTreeSet<SpiffeId>,
    /// Who may see what is one tenant's.
    pub readers: BTreeMap<SpiffeId, Name>,
}

/// OpenTelemetry collectors: at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// The one that gets everything.
    pub everything: Option<CollectorSettings>,
    /// Those that get what one tenant may see.
    pub tenants: BTreeMap<Name, CollectorSettings>,
    /// Where records wait; `None` is below the state directory.
    pub spool_directory: Option<PathBuf>,
    /// Bytes on disk for each collector.
    pub spool_max_bytes: u64,
    /// Records in one call.
    pub batch_records: usize,
    /// How long a record waits for others.
    pub batch_delay: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// How often metrics are sent.
    pub metrics_interval: Duration,
}

/// A collector.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectorSettings {
    /// `http` or `https`, host, port.
    pub endpoint: Uri,
    /// What it is known by; `Some` for `https`.
    pub tls: Option<CollectorTls>,
    /// `name: value` lines that go with each call.
    pub headers_file: Option<PathBuf>,
}

/// TLS to a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorTls {
    /// Who vouches for the collector, PEM.
    pub ca: PathBuf,
    /// What the node shows.
    pub own: Option<CertificateFiles>,
    /// Name in the collector's certificate, when it is not the host of the endpoint.
    pub server_name: Option<String>,
}
