//! Events: what the kernel programs put into the ring buffers. A number, once released, keeps its meaning.

mod process;
mod socket;

pub use process::{
    PROCESS_ARGUMENTS_ABSENT, PROCESS_ARGUMENTS_BYTES, PROCESS_ARGUMENTS_CUT, PROCESS_EXECUTABLE_BYTES,
    PROCESS_EXECUTABLE_CUT, PROCESS_PARENT_ABSENT, PROCESS_SHORT_BYTES, PROCESS_START_ABSENT, ProcessEvent,
};
pub use socket::{SOCKET_PASSIVE, SocketEvent};

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
/// A TCP socket changed its state.
pub const KIND_SOCKET_STATE: u16 = 6;
/// A TCP socket came to its end: what it moved.
pub const KIND_SOCKET_END: u16 = 7;
/// A process runs another executable.
pub const KIND_PROCESS_EXEC: u16 = 8;
/// A process was made.
pub const KIND_PROCESS_FORK: u16 = 9;
/// A process ended.
pub const KIND_PROCESS_EXIT: u16 = 10;

/// A tenant's process reached for a process that is not its tenant's, or for the wall itself.
pub const KIND_GUARD_REFUSED: u16 = 11;

/// The ring of security events: every refusal, every device decision, alerts.
pub const RING_EVENTS: u16 = 0;
/// The ring of samples: allowed flows, sockets.
pub const RING_SAMPLES: u16 = 1;
/// The ring of processes.
pub const RING_PROCESSES: u16 = 2;
/// Rings.
pub const RINGS: u32 = 3;

/// The word for a ring.
#[must_use]
pub const fn ring_name(ring: u16) -> &'static str {
    match ring {
        RING_EVENTS => "events",
        RING_SAMPLES => "samples",
        RING_PROCESSES => "processes",
        _ => "unassigned",
    }
}

/// What every event begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `CLOCK_BOOTTIME` nanoseconds.
    pub boot_ns: u64,
    /// Counts what was worth telling, by processor and ring, from 1: also what was lost, so that a gap is a loss.
    pub sequence: u64,
    /// `KIND_*`.
    pub kind: u16,
    /// The processor.
    pub cpu: u16,
    /// `RING_*`.
    pub ring: u16,
    /// Always zero.
    pub reserved: u16,
}

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

/// A process runs another executable; only the canary is counted here.
pub const HOOK_PROCESS_EXEC: u8 = 9;
/// A process is made; as above.
pub const HOOK_PROCESS_FORK: u8 = 10;
/// A process ends; as above.
pub const HOOK_PROCESS_EXIT: u8 = 11;

/// A file is opened, behind the device gate.
pub const HOOK_FILE_OPEN: u8 = 12;
/// A file comes from another process: over a socket, by `pidfd_getfd()`, by seccomp's `ADDFD`.
pub const HOOK_FILE_RECEIVE: u8 = 13;
/// An open file is read or written.
pub const HOOK_FILE_PERMISSION: u8 = 14;
/// `ioctl()` on an open file, of either width.
pub const HOOK_FILE_IOCTL: u8 = 15;
/// An open file is mapped.
pub const HOOK_MMAP_FILE: u8 = 16;
/// A driver's command by way of io_uring.
pub const HOOK_URING_CMD: u8 = 17;
/// A device node is made.
pub const HOOK_INODE_MKNOD: u8 = 18;
/// `ptrace()`, and what asks for the same right.
pub const HOOK_PTRACE: u8 = 19;
/// A signal is sent.
pub const HOOK_TASK_KILL: u8 = 20;
/// `bpf()`.
pub const HOOK_BPF: u8 = 21;
/// A name is removed, or another put in its place.
pub const HOOK_UNLINK: u8 = 22;
/// Something is mounted, or a mount is moved.
pub const HOOK_MOUNT: u8 = 23;
/// Nothing refers to an open file any more; only the canary is counted here.
pub const HOOK_FILE_FREE: u8 = 24;

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
        HOOK_PROCESS_EXEC => "process_exec",
        HOOK_PROCESS_FORK => "process_fork",
        HOOK_PROCESS_EXIT => "process_exit",
        HOOK_FILE_OPEN => "file_open",
        HOOK_FILE_RECEIVE => "file_receive",
        HOOK_FILE_PERMISSION => "file_permission",
        HOOK_FILE_IOCTL => "file_ioctl",
        HOOK_MMAP_FILE => "mmap_file",
        HOOK_URING_CMD => "uring_cmd",
        HOOK_INODE_MKNOD => "inode_mknod",
        HOOK_PTRACE => "ptrace",
        HOOK_TASK_KILL => "task_kill",
        HOOK_BPF => "bpf",
        HOOK_UNLINK => "unlink",
        HOOK_MOUNT => "mount",
        HOOK_FILE_FREE => "file_free",
        _ => "unassigned",
    }
}

/// One decision. Fields that a kind does not use are zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// When, where, what.
    pub header: Header,
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
    /// Process id (thread group) in the initial namespace: the one that asked, where the hook runs in its context; for a
    /// packet the maker of the socket that sent it, where the kernel still knows it.
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
    /// TCP flags of the packet.
    pub tcp_flags: u8,
    /// Process name, NUL-padded; a label for people, never an identity.
    pub command: [u8; 16],
    /// Always zero.
    pub reserved: [u8; 7],
}

/// Bytes of a refused packet that are kept at most.
pub const PACKET_BYTES_MAX: usize = 128;

/// A refused packet with its first bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketEvent {
    /// The decision; [`KIND_FLOW_REFUSED`] as without bytes.
    pub event: Event,
    /// Bytes of the packet from its IP header (of an ARP message, from that).
    pub length: u32,
    /// How many of `bytes` are the packet's.
    pub captured: u32,
    /// From its IP header on; zeroes behind what was captured.
    pub bytes: [u8; PACKET_BYTES_MAX],
}

impl Default for PacketEvent {
    fn default() -> Self {
        Self { event: Event::default(), length: 0, captured: 0, bytes: [0; PACKET_BYTES_MAX] }
    }
}

impl PacketEvent {
    /// The packet's bytes, as far as they were kept.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        let length = usize::try_from(self.captured).unwrap_or(PACKET_BYTES_MAX);
        self.bytes.get(..length).unwrap_or(&self.bytes)
    }
}
