//! An event's bytes, as the kernel wrote them, to a value. A door: never panics, keeps what it does not know.

use enforcer_common::event::{
    Event, Header, KIND_DEVICE_ALLOWED, KIND_DEVICE_REFUSED, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED,
    KIND_GUARD_REFUSED, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT, KIND_PROCESS_FORK, KIND_SERVICE_ENTERED,
    KIND_SOCKET_END, KIND_SOCKET_STATE, PROCESS_SHORT_BYTES, PacketEvent, ProcessEvent, SocketEvent,
};

use enforcer_common::identity;

use super::wire::Wire;

/// Bytes of a decision without a packet's.
pub const EVENT_BYTES: usize = size_of::<Event>();
/// Bytes of what every event begins with.
pub const HEADER_BYTES: usize = size_of::<Header>();

/// One event, told apart by its kind and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A decision on a flow or a device, or an entry into a service; of a kind that this build does not know, as far
    /// as it looks like one.
    Decision(Event),
    /// A refused packet with its first bytes.
    Packet(PacketEvent),
    /// A TCP socket's state or end.
    Socket(SocketEvent),
    /// A process that began, ran something else, or ended.
    Process(ProcessEvent),
    /// A kind and a length that this build does not know.
    Unknown(Header),
}

impl Decoded {
    /// What it begins with.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Self::Decision(event) => &event.header,
            Self::Packet(packet) => &packet.event.header,
            Self::Socket(socket) => &socket.header,
            Self::Process(process) => &process.header,
            Self::Unknown(header) => header,
        }
    }

    /// True for what one of the agent's own canary operations caused.
    #[must_use]
    pub fn is_canary(&self) -> bool {
        let ends = match self {
            Self::Decision(event) | Self::Packet(PacketEvent { event, .. }) => {
                [event.source_identity, event.destination_identity]
            }
            Self::Socket(socket) => [socket.identity, socket.remote_identity],
            Self::Process(process) => [process.identity; 2],
            Self::Unknown(_) => return false,
        };
        ends.into_iter().any(|who| who == identity::CANARY || who == identity::CANARY_SERVICE)
    }
}

/// What is not an event of this ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// Too short for any event.
    #[error("an event of {bytes} bytes; the shortest has {HEADER_BYTES}")]
    Short {
        /// How many came.
        bytes: usize,
    },
    /// A kind that has another length.
    #[error("an event of kind {kind} and {bytes} bytes, which is not its length")]
    Length {
        /// `KIND_*`.
        kind: u16,
        /// How many came.
        bytes: usize,
    },
}

/// What an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A flow was refused, or would have been.
    FlowRefused,
    /// A flow's first packet was allowed.
    FlowAllowed,
    /// A device was refused, or would have been.
    DeviceRefused,
    /// A gated device was opened.
    DeviceAllowed,
    /// A task entered the control group of a host service.
    ServiceEntered,
    /// A TCP socket changed its state.
    SocketState,
    /// A TCP socket came to its end.
    SocketEnd,
    /// A process runs another executable.
    ProcessExec,
    /// A process was made.
    ProcessFork,
    /// A process ended.
    ProcessExit,
    /// A tenant's process reached for what is not its own.
    GuardRefused,
    /// A number that this build does not know: recorded as it is.
    Unknown(u16),
}

impl Kind {
    /// The kind of a decision's number.
    #[must_use]
    pub const fn of(event: &Event) -> Self {
        Self::numbered(event.header.kind)
    }

    /// The kind that has this number.
    #[must_use]
    pub const fn numbered(kind: u16) -> Self {
        match kind {
            KIND_FLOW_REFUSED => Self::FlowRefused,
            KIND_FLOW_ALLOWED => Self::FlowAllowed,
            KIND_DEVICE_REFUSED => Self::DeviceRefused,
            KIND_DEVICE_ALLOWED => Self::DeviceAllowed,
            KIND_SERVICE_ENTERED => Self::ServiceEntered,
            KIND_GUARD_REFUSED => Self::GuardRefused,
            KIND_SOCKET_STATE => Self::SocketState,
            KIND_SOCKET_END => Self::SocketEnd,
            KIND_PROCESS_EXEC => Self::ProcessExec,
            KIND_PROCESS_FORK => Self::ProcessFork,
            KIND_PROCESS_EXIT => Self::ProcessExit,
            number => Self::Unknown(number),
        }
    }
}

/// What an event begins with, if it is long enough for that.
#[must_use]
pub fn header(bytes: &[u8]) -> Option<Header> {
    Header::read(&mut &*bytes)
}

/// The event in `bytes`, native endian: kernel and agent share the machine.
///
/// # Errors
/// Less than a header, or a kind that has another length.
pub fn decode(bytes: &[u8]) -> Result<Decoded, Undecodable> {
    let short = Undecodable::Short { bytes: bytes.len() };
    let header = Header::read(&mut &*bytes).ok_or(short)?;
    let decoded = match (Kind::numbered(header.kind), bytes.len()) {
        (Kind::FlowRefused, PACKET_BYTES) => whole(bytes).map(Decoded::Packet),
        (Kind::SocketState | Kind::SocketEnd, _) => whole(bytes).map(Decoded::Socket),
        (Kind::ProcessExec, _) => whole(bytes).map(Decoded::Process),
        (Kind::ProcessFork | Kind::ProcessExit, PROCESS_SHORT_BYTES) => short_process(bytes),
        (Kind::ProcessFork | Kind::ProcessExit, _) => None,
        (Kind::Unknown(_), length) if length != EVENT_BYTES => Some(Decoded::Unknown(header)),
        _ => whole(bytes).map(Decoded::Decision),
    };
    decoded.ok_or(Undecodable::Length { kind: header.kind, bytes: bytes.len() })
}

const PACKET_BYTES: usize = size_of::<PacketEvent>();

/// Exactly one value.
fn whole<T: Wire>(bytes: &[u8]) -> Option<T> {
    let mut rest = bytes;
    let value = T::read(&mut rest)?;
    rest.is_empty().then_some(value)
}

/// A process without executable and arguments.
fn short_process(bytes: &[u8]) -> Option<Decoded> {
    let mut room = [0; size_of::<ProcessEvent>()];
    room.get_mut(..bytes.len())?.copy_from_slice(bytes);
    whole(&room).map(Decoded::Process)
}

/// The bytes of a decision, as the kernel would write them.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    written(event)
}

/// The bytes of any event, as the kernel would write them; of what this build does not know, its header.
#[must_use]
pub fn encode_any(decoded: &Decoded) -> Vec<u8> {
    match decoded {
        Decoded::Decision(event) => written(event),
        Decoded::Packet(packet) => written(packet),
        Decoded::Socket(socket) => written(socket),
        Decoded::Process(process) => {
            let mut bytes = written(process);
            if process.header.kind != KIND_PROCESS_EXEC {
                bytes.truncate(PROCESS_SHORT_BYTES);
            }
            bytes
        }
        Decoded::Unknown(header) => written(header),
    }
}

fn written<T: Wire>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of::<T>());
    value.write(&mut bytes);
    bytes
}

/// What the fuzzer calls: any bytes are an event that survives the round trip, or no event.
#[doc(hidden)]
pub fn door(bytes: &[u8]) {
    match decode(bytes) {
        Ok(decoded @ Decoded::Unknown(_)) => {
            assert!(bytes.starts_with(&encode_any(&decoded)), "a header changed on its way");
        }
        Ok(decoded) => assert_eq!(encode_any(&decoded), bytes, "an event changed on its way"),
        Err(Undecodable::Short { bytes: told }) => {
            assert!(told == bytes.len() && told < HEADER_BYTES, "a whole header was refused");
        }
        Err(Undecodable::Length { kind, .. }) => {
            assert!(!matches!(Kind::numbered(kind), Kind::Unknown(_)), "an unknown kind has no wrong length");
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
