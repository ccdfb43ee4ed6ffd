//! What decides how much the programs tell, and what they remember so that they can tell it. Nothing here decides
//! whether a packet passes.

/// How much is told of a tenant's sockets: nothing beside the first packet of each flow.
pub const AGGREGATION_NONE: u32 = 0;
/// And the end of each connection, with what it moved.
pub const AGGREGATION_CONNECTIONS: u32 = 1;
/// And each change of a connection's state.
pub const AGGREGATION_STATES: u32 = 2;

/// How much may be told: a rate of 0 is no bound. Written by the agent; all zero before that.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    /// Security events a second that a source may cause.
    pub security_rate: u32,
    /// Security events at once.
    pub security_burst: u32,
    /// Samples a second.
    pub sample_rate: u32,
    /// Samples at once.
    pub sample_burst: u32,
    /// Events of processes a second.
    pub process_rate: u32,
    /// Events of processes at once.
    pub process_burst: u32,
    /// Bytes of a refused packet that are kept, 0 for none, at most [`crate::event::PACKET_BYTES_MAX`].
    pub packet_bytes: u32,
    /// `AGGREGATION_*` of tenants that have no entry of their own.
    pub aggregation: u32,
}

/// Where the running kernel keeps what no helper tells: offsets in bytes, found in its type information. 0 means
/// unknown, and what would be read there is absent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskLayout {
    /// `task_struct.pid`.
    pub pid: u32,
    /// `task_struct.tgid`.
    pub tgid: u32,
    /// `task_struct.group_leader`.
    pub group_leader: u32,
    /// `task_struct.real_parent`.
    pub real_parent: u32,
    /// `task_struct.start_boottime`.
    pub start_boottime: u32,
    /// `task_struct.exit_code`.
    pub exit_code: u32,
    /// `task_struct.signal`.
    pub signal: u32,
    /// `signal_struct.live`.
    pub live: u32,
    /// `task_struct.mm`.
    pub mm: u32,
    /// `mm_struct.arg_start`.
    pub arg_start: u32,
    /// `mm_struct.arg_end`.
    pub arg_end: u32,
    /// `linux_binprm.filename`.
    pub filename: u32,
}

/// Whose socket opened a flow, keyed by the flow as it leaves the socket: what the hooks at interfaces, which see no
/// socket, tell of a packet's origin.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnerValue {
    /// Socket cookie.
    pub cookie: u64,
    /// The control group by which the owner was recognised.
    pub cgroup: u64,
    /// Process id (thread group) of the socket's maker; 0 when it is not known.
    pub process: u32,
    /// The tenant.
    pub identity: u32,
}

/// What is remembered with a socket for the sake of telling. A socket that is accepted begins with its listener's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketMemo {
    /// A digest of the flow of its last packet: a flow's owner is written down once, not with each packet.
    pub flow: u64,
    /// `CLOCK_BOOTTIME` nanoseconds when its connection was there.
    pub since_ns: u64,
    /// The control group by which the one who made or bound it was recognised; 0 when by none.
    pub cgroup: u64,
    /// Process id (thread group) of the one who made or bound it; 0 when it is older than the agent.
    pub process: u32,
    /// Tenant, host service, or [`crate::identity::HOST`].
    pub identity: u32,
    /// `crate::event::SOCKET_*` bits.
    pub flags: u32,
    /// Always zero.
    pub reserved: u32,
}

/// A response to an alert, keyed by tenant.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseValue {
    /// `CLOCK_MONOTONIC` nanoseconds at which it ends.
    pub until_ns: u64,
    /// `crate::response::MODE_*`.
    pub mode: u32,
    /// New flows a second, for [`crate::response::MODE_LIMIT`].
    pub rate: u32,
}
