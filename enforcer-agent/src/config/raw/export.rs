//! The words about what leaves the node: metrics, and records for a collector.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// What leaves the node; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawExport {
    /// An endpoint that Prometheus scrapes.
    pub metrics: Option<RawMetrics>,
    /// OpenTelemetry collectors.
    pub otlp: Option<RawOtlp>,
    /// A file of JSON lines.
    pub json_lines: Option<RawLines>,
}

/// A file of JSON lines, one a record.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawLines {
    /// Where.
    pub path: Option<PathBuf>,
    /// Bytes of the file before it becomes an older one.
    pub max_bytes: Option<u64>,
    /// Older ones that are kept.
    pub keep: Option<u64>,
}

/// An endpoint that Prometheus scrapes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawMetrics {
    /// `address:port`.
    pub address: Option<String>,
    /// True: in plaintext, to whoever asks, though the address is not loopback.
    pub plaintext: Option<bool>,
    /// The endpoint's certificate chain, PEM; else the node's own.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Authorities that scrapers' certificates come from, PEM; else the bundles of the identity wall.
    pub client_ca: Option<PathBuf>,
    /// Who may see everything.
    pub allowed_spiffe_ids: Option<Vec<String>>,
    /// Who may see what is their tenant's: the one whose trust domain they are in.
    pub readers: Option<Vec<String>>,
    /// Pairs of identities with a series of their own; what is beyond is one sum.
    pub pairs_max: Option<u64>,
    /// How old an answer may be: `10s`.
    pub min_interval: Option<String>,
}

/// OpenTelemetry collectors.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawOtlp {
    /// `https://host:port` of the collector that gets everything.
    pub endpoint: Option<String>,
    /// True: in plaintext, though the collector is not on this node.
    pub plaintext: Option<bool>,
    /// What the collector is known by, and this node to it.
    pub tls: Option<RawCollectorTls>,
    /// File of mode 0600 with `name: value` lines that go with each call.
    pub headers_file: Option<PathBuf>,
    /// Collectors of single tenants, which get what their tenant may see.
    pub tenants: Option<BTreeMap<String, RawCollector>>,
    /// Where records wait for their collector.
    pub spool: Option<RawSpool>,
    /// How records are put together.
    pub batch: Option<RawBatch>,
    /// How long a call may take: `10s`.
    pub timeout: Option<String>,
    /// How often metrics are sent: `60s`.
    pub metrics_interval: Option<String>,
}

/// A tenant's collector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCollector {
    /// `https://host:port`.
    pub endpoint: Option<String>,
    /// True: in plaintext, though the collector is not on this node.
    pub plaintext: Option<bool>,
    /// What the collector is known by, and this node to it.
    pub tls: Option<RawCollectorTls>,
    /// File of mode 0600 with `name: value` lines that go with each call.
    pub headers_file: Option<PathBuf>,
}

/// TLS to a collector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCollectorTls {
    /// Who vouches for the collector, PEM.
    pub ca: Option<PathBuf>,
    /// What the node shows, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, mode 0600.
    pub key: Option<PathBuf>,
    /// Name in the collector's certificate, when it is not the host of the endpoint.
    pub server_name: Option<String>,
}

/// Where records wait for their collector.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawSpool {
    /// Its directory; below the state directory by default.
    pub directory: Option<PathBuf>,
    /// Bytes on disk for each collector; the oldest records go when it is full.
    pub max_bytes: Option<u64>,
}

/// How records are put together.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawBatch {
    /// Records in one call.
    pub records: Option<u64>,
    /// How long a record waits for others: `1s`.
    pub delay: Option<String>,
}
