//! Events: what the kernel programs put into the ring buffers. A number, once released, keeps its meaning.

use crate::address::Address;

/// A flow was refused, or would have been.
pub const KIND_FLOW_REFUSED: u16 = 1;
/// A flow was allowed: its first packet.
pub const KIND_FLOW_ALLOWED: u16 = 2;
/// A device was refused, or would have been.
pub const KIND_DEVICE_REFUSED: u16 = 3;
/// A gated device was opened.
pub const KIND_DEVICE_ALLOWED: u16 = 4;
/// A task entered the control group of a listed host service.
pub const KIND_SERVICE_ENTERED: u16 = 5;

/// Packets that a workload sends, at its host-side interface.
pub const HOOK_FROM_WORKLOAD: u8 = 1;
/// Packets that a workload is sent, at its host-side interface.
pub const HOOK_TO_WORKLOAD: u8 = 2;
/// `connect()`.
pub const HOOK_CONNECT: u8 = 3;
/// `sendmsg()` on an unconnected socket.
pub const HOOK_SENDMSG: u8 = 4;
/// Packets that a socket sends, below the socket.
pub const HOOK_SOCKET_EGRESS: u8 = 5;
/// Packets that a socket is sent, before the socket.
pub const HOOK_SOCKET_INGRESS: u8 = 6;
/// Opens and mknods of devices.
pub const HOOK_DEVICE: u8 = 7;
/// A task changing its control group.
pub const HOOK_CGROUP_ATTACH: u8 = 8;

/// The word for a hook.
#[must_use]
pub const fn hook_name(hook: u8) -> &'static str {
    match hook {
        HOOK_FROM_WORKLOAD => "from_workload",
        HOOK_TO_WORKLOAD => "to_workload",
        HOOK_CONNECT => "connect",
        HOOK_SENDMSG => "sendmsg",
        HOOK_SOCKET_EGRESS => "socket_egress",
        HOOK_SOCKET_INGRESS => "socket_ingress",
        HOOK_DEVICE => "device",
        HOOK_CGROUP_ATTACH => "cgroup_attach",
        _ => "unassigned",
    }
}

/// One event. Fields that a kind does not use are zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// `CLOCK_BOOTTIME` nanoseconds.
    pub boot_ns: u64,
    /// Policy revision in force.
    pub revision: u64,
    /// Control group id of the process, or of the socket's maker.
    pub cgroup: u64,
    /// Socket cookie.
    pub cookie: u64,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Identity of the source, or of the process at the device gate.
    pub source_identity: u32,
    /// Identity of the destination.
    pub destination_identity: u32,
    /// The rule that decided.
    pub rule: u32,
    /// An audit rule that would have decided otherwise.
    pub shadow_rule: u32,
    /// Interface index.
    pub interface: u32,
    /// Process id (thread group) in the initial namespace, where the hook runs in process context.
    pub process: u32,
    /// Major number of a device.
    pub major: u32,
    /// Minor number of a device.
    pub minor: u32,
    /// Device class, as the agent numbered it.
    pub class: u32,
    /// Source port, host byte order.
    pub source_port: u16,
    /// Destination port, host byte order; for ICMP `type << 8 | code`.
    pub destination_port: u16,
    /// `KIND_*`.
    pub kind: u16,
    /// Drop reason.
    pub reason: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// `HOOK_*`.
    pub hook: u8,
    /// `crate::verdict` action.
    pub action: u8,
    /// Action if audit rules were enforced.
    pub shadow_action: u8,
    /// `device::ACCESS_*` bits.
    pub access: u8,
    /// `device::KIND_*`.
    pub device_kind: u8,
    /// Process name, NUL-padded; a label for people, never an identity.
    pub command: [u8; 16],
    /// Always zero.
    pub reserved: [u8; 6],
}
