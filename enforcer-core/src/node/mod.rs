//! What the agent found out about its node: the second argument of compiling, beside the policy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::device::table::DeviceTable;
use crate::policy::image::Entries;
use crate::policy::model::Name;

/// The node, as far as it matters to a verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// The node's name: workloads that name it, or none, are its own.
    pub name: String,
    /// The node's own addresses: the identity `host`.
    pub addresses: BTreeSet<IpAddr>,
    /// Where the workloads of the policy were found. A workload that is missing here is not on the node (yet).
    pub attachments: BTreeMap<Name, Attachment>,
    /// Gated devices by class.
    pub devices: Arc<DeviceTable>,
    /// Host services that may open gated devices.
    pub services: Vec<HostService>,
    /// What a policy may ask for here.
    pub capabilities: Capabilities,
    /// What the tables can hold.
    pub capacity: Entries,
    /// The largest tenant number that fits the configured part of the packet mark.
    pub tag_limit: u32,
    /// `CLOCK_REALTIME` minus `CLOCK_MONOTONIC`, in nanoseconds: turns a lease into kernel time.
    pub clock_offset_ns: i64,
}

/// Where a workload was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Index of its host-side interface.
    pub interface: Option<u32>,
    /// Id of its control group.
    pub cgroup: Option<u64>,
    /// Its end of the tunnel, once its listeners stand.
    pub tunnel: Option<TunnelEnd>,
}

/// Where a workload's outgoing tunnel connections are taken up, in its own network namespace, at
/// [`enforcer_common::maps::INTERCEPT_PORT`]: its own addresses, or loopback's for one on the node's network. While it
/// stands, the agent also holds [`enforcer_common::maps::TUNNEL_PORT`] of a workload with addresses of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelEnd {
    /// For IPv4.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6.
    pub v6: Option<Ipv6Addr>,
}

/// A host service: a driver daemon, a device plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostService {
    /// For records.
    pub name: String,
    /// Id of its control group.
    pub cgroup: u64,
    /// Classes it may open, or every gated class when empty.
    pub classes: Vec<String>,
}

/// What this node can enforce. A policy that needs what is absent is refused, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Passed and held device descriptors are refused too (BPF LSM): what the tiers isolated and dedicated need.
    pub device_handles: Capability,
    /// Mutual TLS between workloads: what rules with `mtlsRequired` need.
    pub mtls_tunnel: Capability,
    /// The device gate: what device grants need.
    pub device_gate: Capability,
    /// The cgroup socket hooks: what host-network workloads need.
    pub socket_hooks: Capability,
    /// The interface hooks: what workloads with an interface need.
    pub interface_hooks: Capability,
}

/// Present, or absent for a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Proven to work.
    Present,
    /// Why not.
    Absent(String),
}

impl Default for Capability {
    fn default() -> Self {
        Self::Absent("not probed".to_owned())
    }
}

impl Capabilities {
    /// Everything: for tests of what a fully able node does.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            device_handles: Capability::Present,
            mtls_tunnel: Capability::Present,
            device_gate: Capability::Present,
            socket_hooks: Capability::Present,
            interface_hooks: Capability::Present,
        }
    }
}
