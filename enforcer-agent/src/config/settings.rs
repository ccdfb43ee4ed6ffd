//! The configuration as the rooms receive it.

mod custody;
mod export;
mod handles;
mod posture;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::image::Entries;
use enforcer_core::policy::model::Name;

pub use custody::{CustodySettings, FileSettings, ResetWhen, ScrubSettings, ScrubberSettings};
pub use export::{
    CollectorSettings, CollectorTls, ExportSettings, LinesSettings, MetricsSettings, MetricsTls, OtlpSettings,
};
pub use handles::{HandleSettings, RevokeSettings};
pub use posture::PostureSettings;

/// Everything the agent was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The node's name in policies and records.
    pub node_name: String,
    /// Where the last good policy is kept; mode 0700.
    pub state_directory: PathBuf,
    /// The local door.
    pub socket: SocketSettings,
    /// Where links and maps are pinned.
    pub pin_directory: PathBuf,
    /// The control group below which the hooks are attached, and that workloads' cgroup paths start from.
    pub cgroup_root: PathBuf,
    /// Who may open accelerators beside tenants with a grant.
    pub device_gate: DeviceGateSettings,
    /// Where in the packet mark the tenant travels.
    pub tag: TagSettings,
    /// Sizes of the kernel's policy tables.
    pub capacity: Entries,
    /// Flows that are tracked.
    pub flows: u32,
    /// A policy from files.
    pub policy_path: Option<PathBuf>,
    /// The network door, if it was asked for.
    pub listener: Option<ListenerSettings>,
    /// Certificates for workloads; `None` when they were turned off.
    pub identity: Option<IdentitySettings>,
    /// Mutual TLS between workloads; `None` where it, or the identities it needs, were turned off.
    pub tunnel: Option<TunnelSettings>,
    /// Flows for the tools of Hubble; `None` where nobody asked for them.
    pub hubble: Option<HubbleSettings>,
    /// Rules over records; `None` when they were turned off.
    pub detection: Option<DetectionSettings>,
    /// What leaves the node.
    pub export: ExportSettings,
    /// How much is recorded.
    pub recording: RecordingSettings,
    /// Records on disk; `None` where that was turned off, or there are no keys for them.
    pub trace: Option<TraceSettings>,
    /// What is logged.
    pub log: LogSettings,
    /// Records that are held for `observe`.
    pub records: usize,
}

/// The local door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketSettings {
    /// The socket.
    pub path: PathBuf,
    /// Users beside root and the agent's own.
    pub allowed_uids: BTreeSet<u32>,
}

/// Whether refusals of the device gate are refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateMode {
    /// They are.
    Enforce,
    /// They are recorded and let pass.
    Audit,
}

/// The device gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceGateSettings {
    /// Enforce or audit.
    pub mode: GateMode,
    /// Control groups that may open gated devices.
    pub host_services: Vec<HostServiceSettings>,
    /// Device classes beside the known ones.
    pub extra_classes: Vec<ExtraClassSettings>,
    /// How devices go from tenant to tenant.
    pub custody: CustodySettings,
    /// Who holds devices.
    pub handles: HandleSettings,
    /// How they are taken away.
    pub revoke: RevokeSettings,
    /// Settings that isolation rests on.
    pub posture: PostureSettings,
}

/// A driver daemon, a device plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostServiceSettings {
    /// For records.
    pub name: String,
    /// Path below the cgroup root.
    pub cgroup: String,
    /// Classes; all gated ones when empty.
    pub classes: Vec<String>,
}

/// Character or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character device.
    Char,
    /// Block device.
    Block,
}

/// Who may be granted a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassRole {
    /// One tenant at a time, unless all are shared.
    Accelerator,
    /// Any tenant.
    Control,
    /// No tenant.
    Never,
}

/// A device class of the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraClassSettings {
    /// What grants call it.
    pub name: String,
    /// Character or block.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Who may be granted it.
    pub role: ClassRole,
}

/// The tag in the packet mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagSettings {
    /// Bits of the mark that are ours: one run that starts at `shift`.
    pub mask: u32,
    /// How far the tag is shifted into them.
    pub shift: u32,
}

impl TagSettings {
    /// The largest tenant number that the tag can carry.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.mask >> self.shift
    }
}

/// The network door: only with mutual TLS and a list of callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// The agent's certificate and key, PEM; without them it takes its own from the identity wall.
    pub own: Option<CertificateFiles>,
    /// Authorities that callers' certificates come from, PEM; without them the bundles of the identity wall.
    pub client_ca: Option<PathBuf>,
    /// Who may do everything.
    pub allowed: BTreeSet<SpiffeId>,
    /// Who may read a tenant's records, each with the tenant whose trust domain it is in. Not both are empty.
    pub readers: BTreeMap<SpiffeId, Name>,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Certificates for workloads.
#[derive(Clone, Debug, PartialEq)]
pub struct IdentitySettings {
    /// The fleet's trust domain; each tenant has one below it.
    pub trust_domain: TrustDomain,
    /// Unix socket for workloads.
    pub socket: PathBuf,
    /// Where the key-encryption key is.
    pub key: KeySettings,
    /// Who vouches for this node.
    pub upstream: UpstreamSettings,
    /// DNS names and addresses in the node's own certificate.
    pub names: Vec<String>,
    /// How long certificates last.
    pub lifetimes: LifetimeSettings,
    /// How often others ask for a newer bundle.
    pub refresh_hint: Duration,
    /// Whether node CAs are constrained to the names of their tenant.
    pub name_constraints: bool,
    /// How much one tenant may ask for.
    pub limits: LimitSettings,
    /// An endpoint for other fleets.
    pub federation: Option<FederationSettings>,
}

/// Where the key-encryption key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySettings {
    /// In a file of mode 0600.
    File(PathBuf),
    /// A systemd credential, by name.
    Credential(String),
    /// In a token.
    Token(TokenSettings),
}

/// A key in a PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    /// The vendor's shared library.
    pub module: PathBuf,
    /// Label of the token.
    pub token: String,
    /// File of mode 0600 with the user PIN.
    pub pin_file: PathBuf,
    /// Label of the key.
    pub label: String,
}

/// Who vouches for this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamSettings {
    /// A root of its own.
    SelfSigned,
    /// A certificate and its key.
    Disk(CertificateFiles),
    /// A certificate, and its key in a token.
    Token {
        /// The authority's chain, PEM.
        certificate: PathBuf,
        /// Its key.
        key: TokenSettings,
    },
    /// Another Enforcer.
    Grpc(AuthoritySettings),
}

/// Another Enforcer in the role of authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySettings {
    /// `https://host:port`.
    pub address: String,
    /// This node's certificate and key.
    pub own: CertificateFiles,
    /// Who vouches for the authority, PEM.
    pub ca: PathBuf,
    /// Name in its certificate, when it is not the host of the address.
    pub server_name: Option<String>,
}

/// How long certificates last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LifetimeSettings {
    /// A workload's certificate.
    pub svid: Duration,
    /// A JWT-SVID.
    pub jwt: Duration,
    /// A node CA, and the node's own certificate.
    pub node: Duration,
    /// A tenant's CA.
    pub tenant: Duration,
}

/// How much one tenant may ask for over the workload socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// Open streams.
    pub streams_per_tenant: usize,
    /// Requests a second.
    pub requests_per_second: u32,
}

/// An endpoint that serves bundles to other fleets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FederationSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its web certificate and key.
    pub own: CertificateFiles,
    /// Trust domains whose bundles are published.
    pub published: BTreeSet<TrustDomain>,
}

/// Rules over records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetectionSettings {
    /// Rules beside those that are there from the first day.
    pub rules: Option<PathBuf>,
    /// Responses at once for one tenant.
    pub responses_per_tenant: usize,
}

/// How much is told of allowed flows beside the first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// Nothing.
    None,
    /// The end of each connection, with what it moved.
    Connections,
    /// Each change of a connection's state as well.
    States,
}

/// How much is recorded. A rate of 0 is no bound; each is for each tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingSettings {
    /// Refusals, device decisions and alerts a second.
    pub events_per_second: u32,
    /// Samples of allowed flows a second.
    pub samples_per_second: u32,
    /// Events of processes a second.
    pub processes_per_second: u32,
    /// First bytes of refused packets; 0 is none.
    pub packet_bytes: u32,
    /// Of tenants that are not among [`Self::tenants`].
    pub aggregation: Aggregation,
    /// Tenants with an aggregation of their own.
    pub tenants: BTreeMap<Name, Aggregation>,
}

/// Records on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceSettings {
    /// Where; mode 0700.
    pub directory: PathBuf,
    /// Bytes of the log after which it is sealed.
    pub segment_bytes: u64,
    /// How long the log waits for that at most.
    pub seal_interval: Duration,
    /// How often a checkpoint is signed.
    pub checkpoint_interval: Duration,
    /// Of tenants that are not among [`Self::tenants`].
    pub retention: RetentionSettings,
    /// Tenants with a retention of their own.
    pub tenants: BTreeMap<Name, RetentionSettings>,
    /// Bytes of all sealed files together.
    pub total_bytes: u64,
    /// Bytes of the disk that are left free.
    pub free_bytes: u64,
    /// Where sealed files are copied to.
    pub ship: Option<ShipSettings>,
}

/// How long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Days.
    pub days: u32,
    /// Bytes of sealed files of one tenant.
    pub max_bytes: u64,
}

/// Where sealed files are copied to.
#[derive(Clone, PartialEq, Eq)]
pub struct ShipSettings {
    /// `s3://BUCKET/PREFIX`, `file:///DIRECTORY`.
    pub url: String,
    /// Options of the object store.
    pub options: BTreeMap<String, String>,
    /// A file of mode 0600 with more of them.
    pub options_file: Option<PathBuf>,
}

impl fmt::Debug for ShipSettings {
    /// Options may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options: Vec<&String> = self.options.keys().collect();
        f.debug_struct("ShipSettings")
            .field("url", &self.url)
            .field("options", &options)
            .field("options_file", &self.options_file)
            .finish()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Text or JSON.
    pub format: LogFormat,
    /// Directives of `tracing`.
    pub filter: String,
}

/// Mutual TLS between workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelSettings {
    /// Our own hop is offered and taken.
    pub native: bool,
    /// HBONE is offered and taken.
    pub hbone: bool,
    /// Threads of the data path.
    pub threads: usize,
    /// How long a TLS handshake, and the first header behind it, may take.
    pub handshake_timeout: Duration,
    /// How long the workload behind a tunnel may take to accept.
    pub connect_timeout: Duration,
    /// How long one direction may stay open after the other has ended and nothing more flows.
    pub half_close_timeout: Duration,
    /// How long a connection waits for the next flow of its pair of identities.
    pub idle_timeout: Duration,
    /// How long flows may go on after the agent was told to stop.
    pub drain_timeout: Duration,
    /// What each tenant may use.
    pub limits: TunnelLimits,
}

/// What each tenant may use of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// Flows at once, in both directions together.
    pub connections: u64,
    /// TLS handshakes a second, in both directions together.
    pub handshakes_per_second: u32,
    /// Bytes in the agent's buffers.
    pub buffered_bytes: u64,
}

/// Flows for the tools of Hubble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubbleSettings {
    /// The local door.
    pub socket: SocketSettings,
    /// The network door, if it was asked for.
    pub network: Option<HubbleNetwork>,
    /// Where relays reach this node, when that is not where it listens.
    pub advertise: Option<String>,
    /// The cluster in front of the node's name; `default` is left out.
    pub cluster: String,
    /// Where relays reach other nodes, by name.
    pub peers: BTreeMap<String, String>,
}

/// Hubble's network door, for the callers of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubbleNetwork {
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate that is shown; the listener's without.
    pub own: Option<CertificateFiles>,
}
