//! The configuration file as it is written: every word optional, unknown words refused.

mod custody;
mod export;
mod handles;
mod posture;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

pub use custody::{RawCommand, RawCustody, RawNvidia, RawOverwrite, RawReadBack, RawScrubber};
pub use export::{
    RawBatch, RawCollector, RawCollectorTls, RawExport, RawLines, RawMetrics, RawOtlp, RawSpool,
};
pub use handles::{RawHandles, RawRevoke};
pub use posture::RawPosture;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawConfig {
    /// The node's name in policies and records.
    pub node_name: Option<String>,
    /// Where the last good policy is kept.
    pub state_directory: Option<PathBuf>,
    /// The local door.
    pub socket: Option<RawSocket>,
    /// Where links and maps are pinned.
    pub pin_directory: Option<PathBuf>,
    /// The control group below which the hooks are attached.
    pub cgroup_root: Option<PathBuf>,
    /// Who may open accelerators.
    pub device_gate: Option<RawDeviceGate>,
    /// Where in the packet mark the tenant travels.
    pub tag: Option<RawTag>,
    /// Sizes of the kernel's tables.
    pub capacities: Option<RawCapacities>,
    /// A policy from files.
    pub policy: Option<RawPolicy>,
    /// The network door.
    pub listener: Option<RawListener>,
    /// Certificates for workloads.
    pub identity: Option<RawIdentity>,
    /// Mutual TLS between workloads.
    pub tunnel: Option<RawTunnel>,
    /// Rules over records.
    pub detection: Option<RawDetection>,
    /// What leaves the node.
    pub export: Option<RawExport>,
    /// What is recorded, and how it is kept.
    pub trace: Option<RawTrace>,
    /// Flows for the tools of Hubble.
    pub hubble: Option<RawHubble>,
    /// What is logged, and how.
    pub log: Option<RawLog>,
    /// Records that are held for `observe`.
    pub records: Option<usize>,
}

/// The local door.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawSocket {
    /// Unix socket.
    pub path: Option<PathBuf>,
    /// Users beside root and the agent's own.
    pub allowed_uids: Option<Vec<u32>>,
}

/// The device gate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawDeviceGate {
    /// `enforce` or `audit`.
    pub mode: Option<String>,
    /// Control groups that may open gated devices.
    pub host_services: Option<Vec<RawHostService>>,
    /// Device classes beside the known ones.
    pub extra_classes: Option<Vec<RawExtraClass>>,
    /// How devices go from tenant to tenant.
    pub custody: Option<RawCustody>,
    /// Who holds devices.
    pub handles: Option<RawHandles>,
    /// How they are taken away.
    pub revoke: Option<RawRevoke>,
    /// Settings that isolation rests on.
    pub posture: Option<RawPosture>,
}

/// A driver daemon, a device plugin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawHostService {
    /// For records.
    pub name: Option<String>,
    /// Path below the cgroup root, with a leading slash.
    pub cgroup: Option<String>,
    /// Classes; all when absent.
    pub classes: Option<Vec<String>>,
}

/// A device class of the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawExtraClass {
    /// What grants call it.
    pub name: Option<String>,
    /// `char` or `block`.
    pub kind: Option<String>,
    /// Major number.
    pub major: Option<u32>,
    /// `accelerator`, `control` or `never`.
    pub role: Option<String>,
}

/// The tag in the packet mark.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTag {
    /// Bits of the mark that are ours, decimal or `0x` hexadecimal.
    pub mask: Option<String>,
    /// How far the tag is shifted into them.
    pub shift: Option<u32>,
}

/// Entries that the tables hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCapacities {
    /// Tenants.
    pub tenants: Option<u64>,
    /// What tenants say of peers.
    pub pairs: Option<u64>,
    /// Port entries.
    pub ports: Option<u64>,
    /// CIDR entries.
    pub cidrs: Option<u64>,
    /// Device grants.
    pub grants: Option<u64>,
    /// Addresses of workloads and bindings.
    pub addresses: Option<u64>,
    /// Host-side interfaces.
    pub interfaces: Option<u64>,
    /// Control groups.
    pub cgroups: Option<u64>,
    /// Tracked flows.
    pub flows: Option<u64>,
}

/// A policy from files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawPolicy {
    /// A file, or a directory of `*.yaml` and `*.yml` files.
    pub path: Option<PathBuf>,
}

/// The network door.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawListener {
    /// `address:port`.
    pub address: Option<String>,
    /// The agent's certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Authorities that callers' certificates come from, PEM.
    pub client_ca: Option<PathBuf>,
    /// Who may call, and do everything.
    pub allowed_spiffe_ids: Option<Vec<String>>,
    /// Who may read records, each those of the tenant whose trust domain it is in.
    pub readers: Option<Vec<String>>,
}

/// Certificates for workloads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawIdentity {
    /// False: no certificates, and no key-encryption key is needed.
    pub enabled: Option<bool>,
    /// The fleet's trust domain; each tenant has one below it.
    pub trust_domain: Option<String>,
    /// Unix socket for workloads.
    pub socket: Option<PathBuf>,
    /// The key-encryption key.
    pub key: Option<RawKey>,
    /// Who vouches for this node.
    pub upstream: Option<RawUpstream>,
    /// DNS names and addresses in the node's own certificate, beside its name and the listener's address.
    pub names: Option<Vec<String>>,
    /// How long certificates last.
    pub lifetimes: Option<RawLifetimes>,
    /// How often others ask for a newer bundle: `5m`.
    pub refresh_hint: Option<String>,
    /// `uri` or `none`.
    pub name_constraints: Option<String>,
    /// How much one tenant may ask for.
    pub limits: Option<RawLimits>,
    /// An endpoint for other fleets.
    pub federation: Option<RawFederation>,
}

/// The key-encryption key: a file, a systemd credential, or a key in a token; one of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawKey {
    /// A file of mode 0600.
    pub file: Option<PathBuf>,
    /// Name of a systemd credential.
    pub credential: Option<String>,
    /// A key in a token.
    pub pkcs11: Option<RawToken>,
}

/// A key in a PKCS#11 token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawToken {
    /// The vendor's shared library.
    pub module: Option<PathBuf>,
    /// Label of the token.
    pub token: Option<String>,
    /// File of mode 0600 with the user PIN.
    pub pin_file: Option<PathBuf>,
    /// Label of the key.
    pub label: Option<String>,
}

/// Who vouches for this node; one of them, or nothing for a root of its own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawUpstream {
    /// A certificate and its key.
    pub disk: Option<RawDisk>,
    /// A certificate, and its key in a token.
    pub pkcs11: Option<RawTokenAuthority>,
    /// Another Enforcer.
    pub grpc: Option<RawAuthority>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawDisk {
    /// The authority's chain.
    pub certificate: Option<PathBuf>,
    /// Its key, mode 0600.
    pub key: Option<PathBuf>,
}

/// A certificate, PEM, and its key in a token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTokenAuthority {
    /// The authority's chain.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<RawToken>,
}

/// Another Enforcer in the role of authority.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawAuthority {
    /// `https://host:port`.
    pub address: Option<String>,
    /// This node's certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, mode 0600.
    pub key: Option<PathBuf>,
    /// Who vouches for the authority, PEM.
    pub ca: Option<PathBuf>,
    /// Name in its certificate, when it is not the host of the address.
    pub server_name: Option<String>,
}

/// How long certificates last: `1h`, `24h`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawLifetimes {
    /// A workload's certificate.
    pub svid: Option<String>,
    /// A JWT-SVID.
    pub jwt: Option<String>,
    /// A node CA, and the node's own certificate.
    pub node: Option<String>,
    /// A tenant's CA.
    pub tenant: Option<String>,
}

/// How much one tenant may ask for over the workload socket.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawLimits {
    /// Open streams.
    pub streams_per_tenant: Option<u64>,
    /// Requests a second.
    pub requests_per_second: Option<u64>,
}

/// An endpoint that serves bundles to other fleets (SPIFFE Federation, profile `https_web`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawFederation {
    /// `address:port`.
    pub address: Option<String>,
    /// Its web certificate, PEM.
    pub certificate: Option<PathBuf>,
    /// The key, mode 0600.
    pub key: Option<PathBuf>,
    /// Tenants whose bundles are published.
    pub tenants: Option<Vec<String>>,
}

/// What is recorded, and how it is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTrace {
    /// Whether records are kept on disk; true where identities are on.
    pub enabled: Option<bool>,
    /// Where.
    pub directory: Option<PathBuf>,
    /// Bytes of the log after which it is sealed.
    pub segment_bytes: Option<u64>,
    /// How long the log waits for that at most; it is sealed at each full hour all the same.
    pub seal_interval: Option<String>,
    /// How often a checkpoint is signed.
    pub checkpoint_interval: Option<String>,
    /// How long and how much.
    pub retention: Option<RawRetention>,
    /// `none`, `connections` or `states`.
    pub aggregation: Option<String>,
    /// Refusals, device decisions and alerts a second, for each tenant; 0 is no bound.
    pub events_per_second: Option<u64>,
    /// Samples of allowed flows a second, for each tenant; 0 is no bound.
    pub samples_per_second: Option<u64>,
    /// Events of processes a second, for each tenant; 0 is no bound.
    pub processes_per_second: Option<u64>,
    /// First bytes of refused packets that are recorded; 0 is none.
    pub packet_bytes: Option<u64>,
    /// What differs for some tenants.
    pub tenants: Option<BTreeMap<String, RawTenantTrace>>,
    /// Where sealed files are copied to.
    pub ship: Option<RawShip>,
}

/// How long and how much is kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawRetention {
    /// Days.
    pub days: Option<u64>,
    /// Bytes of sealed files, for each tenant.
    pub max_bytes: Option<u64>,
    /// Bytes of sealed files, of all together.
    pub total_bytes: Option<u64>,
    /// Bytes of the disk that are left free.
    pub free_bytes: Option<u64>,
}

/// What differs for one tenant.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTenantTrace {
    /// Days.
    pub retention_days: Option<u64>,
    /// Bytes of sealed files.
    pub max_bytes: Option<u64>,
    /// `none`, `connections` or `states`.
    pub aggregation: Option<String>,
}

/// Where sealed files are copied to.
#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawShip {
    /// `s3://BUCKET/PREFIX`, `file:///DIRECTORY`.
    pub url: Option<String>,
    /// Options of the object store: `region`, `endpoint`, ...
    pub options: Option<BTreeMap<String, String>>,
    /// A file of mode 0600 with more of them, `name=value` a line: for secrets.
    pub options_file: Option<PathBuf>,
}

impl fmt::Debug for RawShip {
    /// Options may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Option<Vec<&String>> = self.options.as_ref().map(|options| options.keys().collect());
        f.debug_struct("RawShip").field("url", &self.url).field("options", &options).finish_non_exhaustive()
    }
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawLog {
    /// `text` or `json`.
    pub format: Option<String>,
    /// `info`, `debug`, `enforcer_agent::policy=debug,info`, ...
    pub filter: Option<String>,
}

/// Parses the file's text. This is the configuration door: pure, all or nothing.
///
/// # Errors
/// The first thing that is not understood, with its line.
pub fn parse(text: &str) -> Result<RawConfig, serde_norway::Error> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(RawConfig::default());
    }
    serde_norway::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_an_error_with_its_line() {
        let error = parse("nodeName: a\nsocket:\n  pfad: /x\n").unwrap_err();
        assert!(error.to_string().contains("pfad"), "{error}");
        assert_eq!(error.location().map(|place| place.line()), Some(3));
    }

    #[test]
    fn a_file_of_comments_is_empty_and_a_null_is_not_taken_for_a_map() {
        assert_eq!(parse("# nothing\n\n").unwrap(), RawConfig::default());
        assert!(parse("- a\n").is_err());
    }
}

/// Rules over records, and what is done about what they say.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawDetection {
    /// False: nothing is looked for, and no response is made.
    pub enabled: Option<bool>,
    /// Rules beside those that are there from the first day: a file, or a directory of `*.yaml` and `*.yml` files.
    pub rules: Option<PathBuf>,
    /// Responses at once for one tenant.
    pub responses_per_tenant: Option<u64>,
}

/// Mutual TLS between workloads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTunnel {
    /// Whether there is any; true where identities are on.
    pub enabled: Option<bool>,
    /// Which hops are offered and taken: `native`, `hbone`.
    pub hops: Option<Vec<String>>,
    /// Threads of the data path.
    pub threads: Option<u64>,
    /// How long a TLS handshake, and the first header behind it, may take.
    pub handshake_timeout: Option<String>,
    /// How long the workload behind a tunnel may take to accept.
    pub connect_timeout: Option<String>,
    /// How long one direction may stay open after the other has ended and nothing more flows.
    pub half_close_timeout: Option<String>,
    /// How long a connection waits for the next flow of its pair of identities.
    pub idle_timeout: Option<String>,
    /// How long flows may go on after the agent was told to stop.
    pub drain_timeout: Option<String>,
    /// What each tenant may use.
    pub limits: Option<RawTunnelLimits>,
}

/// What each tenant may use of the tunnel.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTunnelLimits {
    /// Flows at once, in both directions together.
    pub connections: Option<u64>,
    /// TLS handshakes a second, in both directions together.
    pub handshakes_per_second: Option<u64>,
    /// Bytes in the agent's buffers.
    pub buffered_bytes: Option<u64>,
}

/// Flows for the tools of Hubble: served when the section is there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawHubble {
    /// False: not served, whatever else stands here.
    pub enabled: Option<bool>,
    /// Unix socket.
    pub socket: Option<PathBuf>,
    /// Users beside root and the agent's own.
    pub allowed_uids: Option<Vec<u32>>,
    /// `address:port` of a network door, for the callers of the `listener`.
    pub address: Option<String>,
    /// The certificate chain that is shown there, PEM; the listener's without.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Where relays reach this node, when that is not `address`.
    pub advertise: Option<String>,
    /// The cluster in front of the node's name.
    pub cluster: Option<String>,
    /// Where relays reach other nodes, by name.
    pub peers: Option<BTreeMap<String, String>>,
}
