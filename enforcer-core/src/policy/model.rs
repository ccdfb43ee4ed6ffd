//! The policy as values that cannot be wrong. Only [`crate::policy::parse`] makes them.
//!
//! The maps are persistent: a clone is cheap and shares what does not change, so a revision costs what it
//! changed, and `OrdMap::diff` between two revisions visits only what differs.

use std::net::IpAddr;
use std::sync::Arc;

use imbl::OrdMap;
use ipnet::IpNet;

/// A name that was checked: DNS-1123, see the messages for which form.
pub type Name = Arc<str>;

/// Nanoseconds since the Unix epoch.
pub type UnixNanos = u64;

/// A whole, consistent policy: every name it mentions exists, every address has one holder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// By name.
    pub tenants: OrdMap<Name, Arc<Tenant>>,
    /// By name.
    pub workloads: OrdMap<Name, Arc<Workload>>,
    /// By name.
    pub rules: OrdMap<Name, Arc<Rule>>,
    /// By address.
    pub bindings: OrdMap<IpAddr, Arc<Binding>>,
    /// Derived from the four above.
    pub index: Index,
}

/// What is looked up often enough to be kept. Always derivable from the objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// Tenant numbers in use.
    pub tenant_by_id: OrdMap<u32, Name>,
    /// Who holds an address: a workload or a binding.
    pub holder: OrdMap<IpAddr, Holder>,
    /// Names of the rules that each tenant owns: as destination, or as source towards no tenant.
    pub rules_by_owner: OrdMap<Name, imbl::OrdSet<Name>>,
    /// How many workloads, bindings and rules mention a tenant, which therefore may not go.
    pub mentions: OrdMap<Name, u64>,
    /// Rule numbers: stable while the rule exists.
    pub rule_numbers: OrdMap<u32, Name>,
    /// Workload numbers: stable while the workload exists.
    pub workload_numbers: OrdMap<u32, Name>,
    /// Tenant numbers that were used once and never may be again, with the name that had them. The one part
    /// that is history and not derivable: snapshots carry it.
    pub retired_ids: OrdMap<u32, Name>,
    /// Rules whose number is not the one their name asks for: another rule was there first.
    pub displaced_rules: OrdMap<Name, u32>,
    /// Workloads whose number is not the one their name asks for.
    pub displaced_workloads: OrdMap<Name, u32>,
    /// How many workloads each tenant has on each node, the strictest tenants first.
    pub occupants: OrdMap<Occupant, u64>,
    /// Which workload claims a control group, interface or network namespace of a node.
    pub places: OrdMap<Place, Name>,
    /// Tenants that were granted a minor number of a device class.
    pub granted: OrdMap<(Name, u32), imbl::OrdSet<Name>>,
}

/// A tenant on a node; ordered so that one look-up finds a dedicated tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occupant {
    /// The node; `None` for the one that reads this.
    pub node: Option<Name>,
    /// How much it minds company.
    pub company: Company,
    /// The tenant.
    pub tenant: Name,
}

/// How much a tenant minds other tenants on its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Company {
    /// Dedicated: it wants none.
    Refuses,
    /// It is no dedicated tenant, and no platform service either.
    Accepts,
    /// A platform service: it is accepted everywhere.
    Serves,
}

/// Something of a node that belongs to at most one workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The node; `None` for the one that reads this.
    pub node: Option<Name>,
    /// What it is.
    pub kind: PlaceKind,
    /// Its path or name.
    pub path: String,
}

/// What a [`Place`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlaceKind {
    /// A control group.
    Cgroup,
    /// A host-side interface.
    Interface,
    /// A network namespace.
    NetworkNamespace,
}

/// The holder of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A workload, by name.
    Workload(Name),
    /// The binding of this address.
    Binding,
}

/// How strictly a tenant is kept apart; ordered from loose to strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// See the table of the four tiers in the documentation.
    Shared,
    /// Own partition of an accelerator.
    Partitioned,
    /// Own accelerator; cross-tenant only by a rule that both carry, over mTLS.
    Isolated,
    /// Own node.
    Dedicated,
}

/// Whether refusals are refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// They are.
    Enforce,
    /// They are recorded and let pass.
    Audit,
}

/// How sensitive a tenant's data is; ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DataClassification {
    /// Public.
    Public,
    /// Internal.
    Internal,
    /// Confidential.
    Confidential,
    /// Restricted.
    Restricted,
    /// Top secret.
    TopSecret,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Unique.
    pub name: Name,
    /// Within [`enforcer_common::identity::FIRST_TENANT`] and `LAST_TENANT`.
    pub id: u32,
    /// Its tier.
    pub tier: Tier,
    /// Its data's sensitivity.
    pub data_classification: DataClassification,
    /// Enforce or audit.
    pub mode: Mode,
    /// May exchange traffic with dedicated tenants, by rule.
    pub platform_service: bool,
    /// Where it may go outside the fleet.
    pub egress: Vec<EgressRule>,
    /// What it may open.
    pub devices: Vec<DeviceGrant>,
}

/// A part of the world that a tenant may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRule {
    /// Which part.
    pub block: IpBlock,
    /// Which services; all when `None`, never empty.
    pub ports: Option<Vec<PortRange>>,
}

/// A prefix less some longer ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpBlock {
    /// Without host bits.
    pub cidr: IpNet,
    /// Each inside `cidr`, of the same family, and longer.
    pub except: Vec<IpNet>,
}

/// Protocols that have services of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// 6
    Tcp,
    /// 17
    Udp,
    /// 132
    Sctp,
    /// 1
    Icmp,
    /// 58
    Icmpv6,
}

impl Protocol {
    /// Every protocol, in the order of the enum.
    pub const ALL: [Self; 5] = [Self::Tcp, Self::Udp, Self::Sctp, Self::Icmp, Self::Icmpv6];

    /// IP protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
            Self::Icmp => 1,
            Self::Icmpv6 => 58,
        }
    }

    /// The word that policies and records use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
            Self::Icmp => "ICMP",
            Self::Icmpv6 => "ICMPv6",
        }
    }
}

/// Services `first..=last` of a protocol: ports, or ICMP `type << 8 | code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    /// The protocol.
    pub protocol: Protocol,
    /// First service.
    pub first: u16,
    /// Last service, not below the first.
    pub last: u16,
}

/// Devices of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceGrant {
    /// Class name, known to [`crate::device`] or `char:MAJOR`.
    pub class: Name,
    /// Minor numbers as the class counts them; `None` for all of a control class.
    pub minors: Option<Vec<u32>>,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Unique.
    pub name: Name,
    /// Its tenant.
    pub tenant: Name,
    /// Its node; `None` for the node that reads this.
    pub node: Option<Name>,
    /// Path below the cgroup2 mount, absolute.
    pub cgroup: Option<String>,
    /// Host-side interface.
    pub interface: Option<String>,
    /// Path of its network namespace.
    pub network_namespace: Option<String>,
    /// Its sockets share the node's addresses.
    pub host_network: bool,
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Kubernetes namespace, or empty.
    pub namespace: String,
    /// Kubernetes service account, or empty.
    pub service_account: String,
    /// Until when its addresses are trusted across tenants; `None` for ever.
    pub lease_until: Option<UnixNanos>,
    /// `enforcer_common::maps::GRANT_*` bits.
    pub encapsulations: u32,
}

/// One side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A tenant, by name.
    Tenant(Name),
    /// This node.
    Host,
    /// Other nodes.
    RemoteNode,
    /// Every address that nobody holds.
    World,
    /// Some of those.
    Block(IpBlock),
}

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Let it pass.
    Allow,
    /// Refuse it.
    Deny,
}

/// A rule. One side is a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique.
    pub name: Name,
    /// Initiator.
    pub from: Peer,
    /// Responder.
    pub to: Peer,
    /// Which services; all, and every protocol, when `None`; never empty.
    pub ports: Option<Vec<PortRange>>,
    /// Allow or deny.
    pub action: Action,
    /// Enforce or audit.
    pub mode: Mode,
    /// Only over mutual TLS; between two workloads of one node, as it is.
    pub mtls_required: bool,
    /// Over mutual TLS on one node too; only where [`Self::mtls_required`] is.
    pub mtls_always: bool,
    /// Tenants that agreed.
    pub carried_by: Vec<Name>,
}

impl Rule {
    /// The tenant under whose generation the rule is stored: the destination if it is a tenant, else the source.
    #[must_use]
    pub fn owner(&self) -> Option<&Name> {
        match (&self.from, &self.to) {
            (_, Peer::Tenant(name)) | (Peer::Tenant(name), _) => Some(name),
            _ => None,
        }
    }
}

/// Who stands behind a bound address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A tenant's workload elsewhere, by tenant name.
    Tenant(Name),
    /// Another node.
    RemoteNode,
    /// This node.
    Host,
}

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The address.
    pub address: IpAddr,
    /// Who.
    pub bound: Bound,
    /// Raised when the address changes hands.
    pub generation: u64,
    /// Until when it is trusted across tenants; `None` for ever.
    pub lease_until: Option<UnixNanos>,
}
