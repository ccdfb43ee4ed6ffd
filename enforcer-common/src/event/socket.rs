//! A TCP socket of a tenant on its way through its states.

use super::Header;
use crate::address::Address;

/// In [`SocketEvent::flags`]: the socket was accepted, the other end opened the connection.
pub const SOCKET_PASSIVE: u8 = 1 << 0;

/// A state change, or the end with what was moved until then.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketEvent {
    /// When, where, what.
    pub header: Header,
    /// The control group by which its owner was recognised.
    pub cgroup: u64,
    /// Socket cookie.
    pub cookie: u64,
    /// `CLOCK_BOOTTIME` nanoseconds when the connection was there; 0 when it was older than the programs.
    pub since_ns: u64,
    /// Bytes that the other end acknowledged, as the kernel counts them: the beginning and the end of a stream take one
    /// each.
    pub bytes_sent: u64,
    /// Bytes received in order, the end of the stream counted as one.
    pub bytes_received: u64,
    /// The socket's own address.
    pub local: Address,
    /// The other end's.
    pub remote: Address,
    /// Whose socket it is.
    pub identity: u32,
    /// Who holds the other end's address, as the tables know it.
    pub remote_identity: u32,
    /// Process id (thread group) of the maker in the initial namespace; 0 when it is not known.
    pub process: u32,
    /// Segments sent.
    pub segments_out: u32,
    /// Segments received.
    pub segments_in: u32,
    /// Segments sent again.
    pub retransmits: u32,
    /// The socket's own port, host byte order.
    pub local_port: u16,
    /// The other end's.
    pub remote_port: u16,
    /// The state that it leaves: the kernel's `TCP_*` number (1 established, 7 closed).
    pub old_state: u8,
    /// The state that it takes.
    pub new_state: u8,
    /// `SOCKET_*` bits.
    pub flags: u8,
    /// Always zero.
    pub reserved: u8,
}
