//! The configuration as the rooms receive it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::policy::image::Entries;

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
    /// The agent's certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// Authorities that callers' certificates come from, PEM.
    pub client_ca: PathBuf,
    /// Who may call; not empty.
    pub allowed: BTreeSet<SpiffeId>,
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
