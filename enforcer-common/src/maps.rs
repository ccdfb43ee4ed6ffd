//! Keys and values of the kernel maps. Integers in host byte order; addresses in network order.
//!
//! Rules are held per *owner* (the tenant whose protection or permission they are) and per *generation* of
//! that owner: a push writes the new generation beside the old one, then flips the parity of the epoch.

use crate::address::Address;

/// Set in a peer number when the rule is about traffic that leaves the owner.
pub const PEER_EGRESS: u32 = 1 << 31;
/// Set in a peer number that stands for a CIDR class of the owner, not for an identity.
pub const PEER_CIDR: u32 = 1 << 30;

/// What an interface, cgroup or address says of the one behind it: the tenant is in the policy in force.
pub const SLOT_PRESENT: u8 = 1 << 0;
/// The tenant is in audit mode: refusals it owns are recorded, not enforced.
pub const SLOT_AUDIT: u8 = 1 << 1;
/// The tenant owns rules about its own traffic, so the default "allowed inside" must be looked up.
pub const SLOT_INTRA_RULES: u8 = 1 << 2;
/// The tenant owns rules about traffic from the host.
pub const SLOT_HOST_RULES: u8 = 1 << 3;
/// The tenant is a platform service: a dedicated tenant may exchange traffic with it by rule.
pub const SLOT_PLATFORM: u8 = 1 << 4;

/// Tier numbers, in order of strictness.
pub mod tier {
    /// Accelerators may be shared with other shared tenants.
    pub const SHARED: u8 = 0;
    /// Own partition of an accelerator.
    pub const PARTITIONED: u8 = 1;
    /// Own accelerator, closed until scrubbed; cross-tenant traffic needs both sides and mTLS.
    pub const ISOLATED: u8 = 2;
    /// Own node; never any cross-tenant traffic but with platform services.
    pub const DEDICATED: u8 = 3;
}

/// What the policy of one epoch parity says of a tenant.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantSlot {
    /// The generation under which this tenant's rules and grants are stored.
    pub generation: u32,
    /// One of [`tier`].
    pub tier: u8,
    /// `SLOT_*` bits; without [`SLOT_PRESENT`] the tenant does not exist.
    pub flags: u8,
    /// Always zero.
    pub reserved: u16,
}

/// A tenant: one slot for even and one for odd epochs, so that one cell switches every tenant at once.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantValue {
    /// Indexed by `epoch & 1`.
    pub slots: [TenantSlot; 2],
}

/// No rule spoke: the default of the pair of identities applies.
pub const ACTION_NONE: u8 = 0;
/// The rule allows.
pub const ACTION_ALLOW: u8 = 1;
/// The rule denies, for the reason beside it.
pub const ACTION_DENY: u8 = 2;

/// The rule allows over mutual TLS. Between two workloads of one node, where the kernel knows both ends, it allows as
/// it is; elsewhere plaintext is refused with [`crate::reason::MTLS_REQUIRED`], and a connection is handed to the tunnel.
pub const ACTION_TUNNEL: u8 = 3;
/// The rule allows over mutual TLS, on one node too.
pub const ACTION_TUNNEL_ALWAYS: u8 = 4;

/// Where tunnels arrive, in the workload's own network namespace: the port of HBONE.
pub const TUNNEL_PORT: u16 = 15_008;
/// Where the kernel sends intercepted connections, in the workload's own network namespace.
pub const INTERCEPT_PORT: u16 = 15_001;

/// Rule number of "no rule matched".
pub const RULE_NO_MATCH: u32 = 0;
/// Rule number of the default "a tenant may talk to itself".
pub const RULE_INTRA_TENANT: u32 = 1;
/// Rule number of the default "the host may reach its workloads".
pub const RULE_HOST_DEFAULT: u32 = 2;
/// Rule number of "no tenant takes part, none of our business".
pub const RULE_NOT_MANAGED: u32 = 3;
/// Rule number of neighbour discovery and ARP, checked for ownership and otherwise allowed.
pub const RULE_NEIGHBOUR: u32 = 4;
/// Rule number of "an ICMP error that belongs to a tracked flow".
pub const RULE_RELATED: u32 = 5;
/// Rule number of a device grant.
pub const RULE_DEVICE_GRANT: u32 = 6;
/// Rule number of a host service's pass through the device gate.
pub const RULE_HOST_SERVICE: u32 = 7;
/// Rule number of a tenant's own egress list.
pub const RULE_TENANT_EGRESS: u32 = 8;
/// Rule number of the connection that carries tunnelled flows, to [`TUNNEL_PORT`]: the flows in it are decided one by
/// one at its ends.
pub const RULE_TUNNEL: u32 = 9;
/// The first number that a rule of the policy may have.
pub const FIRST_RULE: u32 = 16;

/// The outcome of all rules for one region of (owner, peer, protocol, port): precedence is resolved when
/// the policy is compiled, so that at most one entry matches and the kernel only looks it up.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleValue {
    /// The rule that decided, or a `RULE_*` number.
    pub rule: u32,
    /// The audit rule that would have decided otherwise, or zero.
    pub shadow_rule: u32,
    /// A drop reason, when `action` is [`ACTION_DENY`].
    pub reason: u16,
    /// `ACTION_*`.
    pub action: u8,
    /// The action if rules in audit mode were enforced; equal to `action` when they change nothing.
    pub shadow_action: u8,
}

/// Key of what an owner's rules say of a peer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PairKey {
    /// The tenant that owns the rules.
    pub owner: u32,
    /// The owner's generation.
    pub generation: u32,
    /// The other side: an identity, possibly with [`PEER_EGRESS`].
    pub peer: u32,
}

/// How many protocols have port tables: see [`protocol_slot`].
pub const PROTOCOL_SLOTS: usize = 5;

/// Index of a protocol in [`PairValue::prefixes`].
#[must_use]
#[inline(always)]
pub const fn protocol_slot(protocol: u8) -> Option<usize> {
    match protocol {
        6 => Some(0),   // TCP
        17 => Some(1),  // UDP
        1 => Some(2),   // ICMP
        58 => Some(3),  // ICMPv6
        132 => Some(4), // SCTP
        _ => None,
    }
}

/// What an owner's rules say of a peer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairValue {
    /// For every protocol and port that no port entry covers.
    pub default: RuleValue,
    /// Per protocol slot: bit `n` is set when port entries of prefix length `n` (0 to 16) exist.
    pub prefixes: [u32; PROTOCOL_SLOTS],
}

/// Key of a port entry. The regions of one (owner, generation, peer, protocol) are disjoint, but for the one port of
/// [`RULE_TUNNEL`], which lies over the region around it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortKey {
    /// The tenant that owns the rules.
    pub owner: u32,
    /// The owner's generation.
    pub generation: u32,
    /// Identity or CIDR class of the other side, with its direction bit.
    pub peer: u32,
    /// Destination port with the bits beyond the prefix cleared; for ICMP `type << 8 | code`.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 0 to 16 leading bits of the port that count.
    pub prefix_len: u8,
}

/// Direction word in [`CidrData`]: the world comes in.
pub const CIDR_INGRESS: u32 = 0;
/// Direction word in [`CidrData`]: the tenant goes out.
pub const CIDR_EGRESS: u32 = 1;
/// Bits of [`CidrData`] before the address: every lookup and entry counts them whole.
pub const CIDR_FIXED_BITS: u32 = 96;

/// Data of a longest-prefix-match key for addresses outside the fleet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrData {
    /// The tenant that owns the rules.
    pub owner: u32,
    /// The owner's generation.
    pub generation: u32,
    /// [`CIDR_INGRESS`] or [`CIDR_EGRESS`].
    pub direction: u32,
    /// The remote address, network order, IPv4 mapped; host bits zero.
    pub address: Address,
}

/// What the owner's rules say of a CIDR region: the prefix less the longer prefixes inside it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CidrValue {
    /// Peer number of this region for port entries: [`PEER_CIDR`] set, unique within owner and generation.
    pub peer: u32,
    /// The verdicts.
    pub pair: PairValue,
}

/// Who holds an address.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressValue {
    /// `CLOCK_MONOTONIC` nanoseconds after which the holder is unsure; 0 for never.
    pub lease_until_ns: u64,
    /// Generation of the binding, so that a late delete removes only what it names.
    pub generation: u64,
    /// Tenant or reserved identity.
    pub identity: u32,
    /// The workload on this node, or 0 for a remote binding.
    pub workload: u32,
}

/// The workload may send VLAN tags.
pub const GRANT_VLAN: u32 = 1 << 0;
/// The workload may send IP-in-IP (4 and 41).
pub const GRANT_IPIP: u32 = 1 << 1;
/// The workload may send GRE.
pub const GRANT_GRE: u32 = 1 << 2;

/// The agent holds [`TUNNEL_PORT`] inside the workload's network namespace: what arrives there is checked.
pub const INTERFACE_TUNNEL: u32 = 1 << 0;

/// The workload behind a host-side interface, keyed by interface index.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceValue {
    /// `CLOCK_MONOTONIC` nanoseconds after which the workload is unsure across tenants; 0 for never.
    pub lease_until_ns: u64,
    /// The tenant.
    pub tenant: u32,
    /// The workload.
    pub workload: u32,
    /// `GRANT_*` bits.
    pub grants: u32,
    /// `INTERFACE_*` bits.
    pub flags: u32,
    /// One of its IPv4 addresses, mapped; all zero without one. Others are found in the address table.
    pub v4: Address,
    /// One of its IPv6 addresses; all zero without one.
    pub v6: Address,
}

/// The cgroup's sockets share the node's address: the socket hooks decide for them.
pub const CGROUP_HOST_NETWORK: u32 = 1 << 0;
/// The agent takes up the workload's outgoing tunnel connections, at [`CgroupValue::tunnel_v4`] and `tunnel_v6`.
pub const CGROUP_TUNNEL: u32 = 1 << 1;

/// Levels of control groups, from the root of the hierarchy down, that are looked at to recognise a process or a
/// socket: a workload's group must lie within them; what lies deeper takes its identity from those above.
pub const CGROUP_LEVELS: u32 = 16;

/// Who a cgroup (and all below it) belongs to, keyed by cgroup id.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupValue {
    /// Tenant or host service.
    pub identity: u32,
    /// The workload, or 0 for a host service.
    pub workload: u32,
    /// `CGROUP_*` bits.
    pub flags: u32,
    /// Always zero.
    pub reserved: u32,
    /// Where its outgoing IPv4 connections are taken up, mapped; all zero where they are not.
    pub tunnel_v4: Address,
    /// The same for IPv6.
    pub tunnel_v6: Address,
}

/// Key of an intercepted connection: the client's end of the connection to the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginKey {
    /// Cookie of the network namespace.
    pub namespace: u64,
    /// The client's address.
    pub address: Address,
    /// The client's port, host byte order.
    pub port: u16,
    /// Always zero.
    pub reserved: [u8; 6],
}

/// Whose an intercepted connection is, and where it was going. Also what `getsockopt` answers at
/// [`ORIGIN_LEVEL`], [`ORIGIN_OPTION`] on the agent's end of such a connection.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginValue {
    /// Where it was going, mapped.
    pub destination: Address,
    /// Cookie of the workload's socket.
    pub cookie: u64,
    /// The control group by which the workload was recognised.
    pub cgroup: u64,
    /// Its tenant.
    pub identity: u32,
    /// The rule that asks for the tunnel.
    pub rule: u32,
    /// The destination's port, host byte order.
    pub port: u16,
    /// Always zero.
    pub reserved: [u8; 6],
}

/// `getsockopt` level at which the agent asks for an [`OriginValue`]; no protocol has it.
pub const ORIGIN_LEVEL: i32 = 0x454e;
/// The option there. `SO_ORIGINAL_DST` at its usual levels answers with the address alone.
pub const ORIGIN_OPTION: i32 = 1;

/// Who made a socket: kept in socket storage.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketTag {
    /// The cgroup by which the maker was recognised; 0 when by none.
    pub cgroup: u64,
    /// The tenant, or [`crate::identity::HOST`] when by none.
    pub identity: u32,
    /// `CGROUP_*` bits of that cgroup.
    pub flags: u32,
    /// [`STATE_CGROUPS`] when it was recognised: another value there makes the tag void.
    pub version: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Any minor of the major.
pub const MINOR_ANY: u32 = u32::MAX;

/// Key of a gated device number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateKey {
    /// `crate::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number, or [`MINOR_ANY`].
    pub minor: u32,
}

/// What stands behind a gated number.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateValue {
    /// Device class number, for the record.
    pub class: u32,
    /// `GATE_*` bits.
    pub flags: u32,
}

/// The device is in custody: closed to every tenant for which [`CustodyKey`] does not name it open.
pub const GATE_CUSTODY: u32 = 1 << 0;

/// Key of a device's custody: an exact number, never [`MINOR_ANY`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustodyKey {
    /// `crate::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// Where a device is between two tenants.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CustodyValue {
    /// `CUSTODY_*`; every other number is closed too.
    pub state: u32,
    /// The tenant that it is open to; [`crate::identity::UNKNOWN`] for every tenant that was granted it.
    pub owner: u32,
}

/// Closed: whatever the reason.
pub const CUSTODY_CLOSED: u32 = 0;
/// Open to its owner.
pub const CUSTODY_OPEN: u32 = 1;

/// Key of a control group that has ever held a device: an open or a receipt was let through.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TouchKey {
    /// The control group's id: the process's own, not that of the workload it is below.
    pub cgroup: u64,
    /// `crate::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Always zero.
    pub reserved: u32,
}

/// When, and on whose behalf.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TouchValue {
    /// `CLOCK_BOOTTIME` nanoseconds of the first time.
    pub first_ns: u64,
    /// Tenant or host service.
    pub identity: u32,
    /// Always zero.
    pub reserved: u32,
}

/// An open file of a gated device, from its open to the moment at which nothing refers to it any more: descriptors,
/// mappings, registrations and messages in flight all do. Kept by the address of the kernel's `struct file`, and only
/// where BPF LSM runs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandleValue {
    /// `CLOCK_BOOTTIME` nanoseconds of its open.
    pub opened_ns: u64,
    /// Control group of the process that opened it.
    pub cgroup: u64,
    /// `crate::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Tenant or host service of the process that opened it.
    pub identity: u32,
    /// That tenant's generation at the time: while it is the same, the same tenant is passed the file without a look at
    /// its grants.
    pub generation: u32,
    /// The process (thread group) that opened it.
    pub process: u32,
    /// `crate::device::ACCESS_*` bits it was opened for.
    pub access: u32,
    /// How often it was received by another process since.
    pub receipts: u32,
}

/// Key of a device grant. Host services use their service number as owner and generation 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantKey {
    /// Tenant or host service.
    pub owner: u32,
    /// The owner's generation.
    pub generation: u32,
    /// `crate::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number, or [`MINOR_ANY`].
    pub minor: u32,
}

/// A device grant.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantValue {
    /// `crate::device::ACCESS_*` bits that are granted.
    pub access: u32,
    /// The rule number for the record.
    pub rule: u32,
}

/// [`HoldingRecord::via`]: a descriptor.
pub const VIA_DESCRIPTOR: u32 = 1;
/// [`HoldingRecord::via`]: a mapping.
pub const VIA_MAPPING: u32 = 2;

/// What a walk over all processes writes for each descriptor and mapping of a gated device.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldingRecord {
    /// Address of the kernel's `struct file`.
    pub file: u64,
    /// Number of the descriptor, or where the mapping begins.
    pub at: u64,
    /// Control group of the process.
    pub cgroup: u64,
    /// `VIA_*`.
    pub via: u32,
    /// Process (thread group) id in the initial namespace.
    pub process: u32,
    /// Tenant or host service of the nearest known control group; [`crate::identity::HOST`] of none.
    pub identity: u32,
    /// `crate::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// `crate::device::ACCESS_*` bits of the open file.
    pub access: u32,
    /// Always zero.
    pub reserved: u32,
}

/// Settings that the node, not the policy, decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// [`crate::abi::VERSION`] of whoever wrote the maps.
    pub abi: u32,
    /// `SETTING_*` bits.
    pub flags: u32,
    /// The bits of the packet mark that carry the tag.
    pub tag_mask: u32,
    /// How far the tag is shifted into them.
    pub tag_shift: u32,
}

/// The device gate records what it would refuse and lets it pass.
pub const SETTING_DEVICE_AUDIT: u32 = 1 << 0;
/// The cgroup socket hooks were proven to run, so TCP from a workload to the node's own addresses may be
/// left to them: they know which socket, and so which tenant, it is for.
pub const SETTING_DEFER_TO_SOCKETS: u32 = 1 << 1;

/// A canary of the hooks on files and tasks is at work: the null device is a gated one to the canary, and to nobody else.
pub const SETTING_CANARY: u32 = 1 << 2;

/// Index of the epoch in the state array: its parity selects [`TenantValue::slots`].
pub const STATE_EPOCH: u32 = 0;
/// Index of the policy revision in the state array: what records carry.
pub const STATE_REVISION: u32 = 1;
/// Index of the version of the cgroup table in the state array: raised with every change of it.
pub const STATE_CGROUPS: u32 = 2;
/// Index of the agent's process id in the state array: whom no tenant may signal. 0 when none runs.
pub const STATE_AGENT: u32 = 3;
/// Index of the time, in nanoseconds of `CLOCK_BOOTTIME`, since when the account of open files is whole; 0 where it is not
/// kept.
pub const STATE_ACCOUNT: u32 = 4;
/// Index of the control group, by id, on which the agent's programs hang: hooks that the kernel calls for the whole machine
/// judge what is below it, as those do that hang there. 0 judges nobody.
pub const STATE_SCOPE: u32 = 5;
/// Cells of the state array.
pub const STATE_CELLS: u32 = 6;

/// Key of a flow: forward direction, as its first packet went.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port; for ICMP echo the identifier.
    pub source_port: u16,
    /// Destination port; for ICMP echo the identifier.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Always zero.
    pub reserved: [u8; 3],
}

/// A tracked flow. It only gives replies their way back; forward packets are decided each time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowValue {
    /// `CLOCK_MONOTONIC` nanoseconds of the last packet, refreshed about once a second.
    pub last_seen_ns: u64,
    /// Identity of the initiator.
    pub source: u32,
    /// Identity of the responder.
    pub destination: u32,
    /// The tenant whose rules allowed the flow; 0 if no tenant's did.
    pub owner: u32,
    /// That tenant's generation when the flow was last decided.
    pub generation: u32,
    /// The rule that allowed it.
    pub rule: u32,
    /// `FLOW_*` bits.
    pub flags: u32,
    /// Destination port or ICMP type and code as it was decided, for deciding again.
    pub service: u16,
    /// Always zero.
    pub reserved: [u8; 6],
}

/// A FIN or RST was seen: the entry is short-lived.
pub const FLOW_CLOSING: u32 = 1 << 0;

/// Key of a fragmented datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identification (16 bits for IPv4).
    pub id: u32,
    /// IP protocol of the datagram.
    pub protocol: u8,
    /// The hook: both ends of a flow on one node see the same datagram.
    pub hook: u8,
    /// Always zero.
    pub reserved: [u8; 2],
}

/// A fragmented datagram whose first fragment was allowed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentValue {
    /// First byte that no fragment has covered yet.
    pub next_offset: u32,
    /// Transport source port.
    pub source_port: u16,
    /// Transport destination port, or ICMP type and code.
    pub service: u16,
}

/// Key of a verdict counter.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// Identity of the source, or of the process at the device gate.
    pub source: u32,
    /// Identity of the destination; 0 at the device gate.
    pub destination: u32,
    /// Drop reason; [`crate::reason::NONE`] for allowed.
    pub reason: u16,
    /// `crate::event::HOOK_*`.
    pub hook: u8,
    /// 1 when the refusal was recorded but, in audit mode, not enforced.
    pub audited: u8,
}

/// A verdict counter, one per processor.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CounterValue {
    /// Verdicts.
    pub packets: u64,
    /// Bytes of the packets; 0 where the hook sees none.
    pub bytes: u64,
}

/// Loss cell: a security event found its ring buffer full.
pub const LOST_EVENT_FULL: u32 = 0;
/// Loss cell: a security event exceeded its tenant's rate.
pub const LOST_EVENT_RATE: u32 = 1;
/// Loss cell: a flow sample found its ring buffer full.
pub const LOST_SAMPLE_FULL: u32 = 2;
/// Loss cell: a counter could not be made because the table is full.
pub const LOST_COUNTER_FULL: u32 = 3;
/// Loss cell: a flow could not be tracked.
pub const LOST_FLOW_FULL: u32 = 4;
/// Loss cell: an event of a process found its ring buffer full.
pub const LOST_PROCESS_FULL: u32 = 5;
/// Loss cell: a flow sample exceeded its tenant's rate.
pub const LOST_SAMPLE_RATE: u32 = 6;
/// Loss cell: an event of a process exceeded its tenant's rate.
pub const LOST_PROCESS_RATE: u32 = 7;
/// Loss cell: an open file of a gated device found the table of handles full.
pub const LOST_HANDLE_FULL: u32 = 8;
/// Loss cell: a control group that holds a gated device found the table of those full.
pub const LOST_TOUCH_FULL: u32 = 9;
/// Cells of the loss array.
pub const LOST_CELLS: u32 = 10;

/// Key of a loss counter.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LossKey {
    /// Identity of the source; what is counted in the loss array, for want of room here, has none.
    pub source: u32,
    /// `LOST_*`.
    pub cause: u32,
}

/// Token bucket of one source tenant and one kind of events.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BucketValue {
    /// `CLOCK_MONOTONIC` nanoseconds up to which tokens were paid in.
    pub filled_ns: u64,
    /// Tokens left, in events.
    pub tokens: u64,
}
