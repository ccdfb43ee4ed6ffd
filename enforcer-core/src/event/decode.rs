//! An event's bytes, as the kernel wrote them, to a value. A door: never panics, keeps what it does not know.

use enforcer_common::event::{
    Event, KIND_DEVICE_ALLOWED, KIND_DEVICE_REFUSED, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED,
    KIND_SERVICE_ENTERED,
};

/// Bytes of an event.
pub const EVENT_BYTES: usize = size_of::<Event>();

/// What is not an event of this ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of {bytes} bytes, and {EVENT_BYTES} were expected")]
pub struct WrongLength {
    /// How many came.
    pub bytes: usize,
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
    /// A number that this build does not know: recorded as it is.
    Unknown(u16),
}

impl Kind {
    /// The kind of an event's number.
    #[must_use]
    pub const fn of(event: &Event) -> Self {
        match event.kind {
            KIND_FLOW_REFUSED => Self::FlowRefused,
            KIND_FLOW_ALLOWED => Self::FlowAllowed,
            KIND_DEVICE_REFUSED => Self::DeviceRefused,
            KIND_DEVICE_ALLOWED => Self::DeviceAllowed,
            KIND_SERVICE_ENTERED => Self::ServiceEntered,
            number => Self::Unknown(number),
        }
    }
}

/// The event in `bytes`, native endian: kernel and agent share the machine.
///
/// # Errors
/// Any other length than [`EVENT_BYTES`].
pub fn decode(bytes: &[u8]) -> Result<Event, WrongLength> {
    let wrong = WrongLength { bytes: bytes.len() };
    let bytes: [u8; EVENT_BYTES] = bytes.try_into().map_err(|_| wrong)?;
    read(&bytes).ok_or(wrong)
}

/// The bytes of an event, as the kernel would write them.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    let Event {
        boot_ns,
        revision,
        cgroup,
        cookie,
        source,
        destination,
        source_identity,
        destination_identity,
        rule,
        shadow_rule,
        interface,
        process,
        major,
        minor,
        class,
        source_port,
        destination_port,
        kind,
        reason,
        protocol,
        hook,
        action,
        shadow_action,
        access,
        device_kind,
        command,
        reserved,
    } = *event;
    let mut bytes = Vec::with_capacity(EVENT_BYTES);
    for word in [boot_ns, revision, cgroup, cookie] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(source);
    bytes.extend(destination);
    for word in
        [source_identity, destination_identity, rule, shadow_rule, interface, process, major, minor, class]
    {
        bytes.extend(word.to_ne_bytes());
    }
    for half in [source_port, destination_port, kind, reason] {
        bytes.extend(half.to_ne_bytes());
    }
    bytes.extend([protocol, hook, action, shadow_action, access, device_kind]);
    bytes.extend(command);
    bytes.extend(reserved);
    bytes
}

fn read(bytes: &[u8]) -> Option<Event> {
    let mut rest = bytes;
    let mut event = Event {
        boot_ns: u64::from_ne_bytes(take(&mut rest)?),
        revision: u64::from_ne_bytes(take(&mut rest)?),
        cgroup: u64::from_ne_bytes(take(&mut rest)?),
        cookie: u64::from_ne_bytes(take(&mut rest)?),
        source: take(&mut rest)?,
        destination: take(&mut rest)?,
        source_identity: u32::from_ne_bytes(take(&mut rest)?),
        destination_identity: u32::from_ne_bytes(take(&mut rest)?),
        rule: u32::from_ne_bytes(take(&mut rest)?),
        shadow_rule: u32::from_ne_bytes(take(&mut rest)?),
        interface: u32::from_ne_bytes(take(&mut rest)?),
        process: u32::from_ne_bytes(take(&mut rest)?),
        major: u32::from_ne_bytes(take(&mut rest)?),
        minor: u32::from_ne_bytes(take(&mut rest)?),
        class: u32::from_ne_bytes(take(&mut rest)?),
        source_port: u16::from_ne_bytes(take(&mut rest)?),
        destination_port: u16::from_ne_bytes(take(&mut rest)?),
        kind: u16::from_ne_bytes(take(&mut rest)?),
        reason: u16::from_ne_bytes(take(&mut rest)?),
        ..Event::default()
    };
    [event.protocol, event.hook, event.action, event.shadow_action, event.access, event.device_kind] =
        take(&mut rest)?;
    event.command = take(&mut rest)?;
    event.reserved = take(&mut rest)?;
    rest.is_empty().then_some(event)
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// What the fuzzer calls: any bytes are an event that survives the round trip, or of the wrong length.
#[doc(hidden)]
pub fn door(bytes: &[u8]) {
    match decode(bytes) {
        Ok(event) => assert_eq!(encode(&event), bytes, "an event changed on its way"),
        Err(wrong) => assert_ne!(wrong.bytes, EVENT_BYTES, "an event of the right length was refused"),
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use proptest::prelude::*;

    use super::*;

    /// Byte `n` is `n`: each field is the bytes of its own place.
    #[test]
    fn every_field_is_read_from_its_place() {
        let bytes: Vec<u8> = (0..=135).collect();
        let event = decode(&bytes).unwrap();
        macro_rules! at {
            ($($field:ident: $type:ty = $offset:literal;)+) => {$(
                assert_eq!(offset_of!(Event, $field), $offset, stringify!($field));
                let place = &bytes[$offset..$offset + size_of::<$type>()];
                assert_eq!(event.$field, <$type>::from_ne_bytes(place.try_into().unwrap()), stringify!($field));
            )+};
        }
        at! {
            boot_ns: u64 = 0; revision: u64 = 8; cgroup: u64 = 16; cookie: u64 = 24;
            source_identity: u32 = 64; destination_identity: u32 = 68; rule: u32 = 72; shadow_rule: u32 = 76;
            interface: u32 = 80; process: u32 = 84; major: u32 = 88; minor: u32 = 92; class: u32 = 96;
            source_port: u16 = 100; destination_port: u16 = 102; kind: u16 = 104; reason: u16 = 106;
            protocol: u8 = 108; hook: u8 = 109; action: u8 = 110; shadow_action: u8 = 111; access: u8 = 112;
            device_kind: u8 = 113;
        }
        assert_eq!((offset_of!(Event, source), offset_of!(Event, destination)), (32, 48));
        assert_eq!((event.source[0], event.source[15], event.destination[0]), (32, 47, 48));
        assert_eq!((offset_of!(Event, command), offset_of!(Event, reserved)), (114, 130));
        assert_eq!(
            (event.command[0], event.command[15], event.reserved),
            (114, 129, [130, 131, 132, 133, 134, 135])
        );
    }

    #[test]
    fn another_length_is_refused_with_its_length() {
        for bytes in [0, 1, 135, 137, 272] {
            assert_eq!(decode(&vec![0; bytes]), Err(WrongLength { bytes }));
        }
    }

    #[test]
    fn an_unknown_kind_is_kept() {
        let event = Event { kind: 4711, rule: 9, ..Event::default() };
        let back = decode(&encode(&event)).unwrap();
        assert_eq!(back, event);
        assert_eq!(Kind::of(&back), Kind::Unknown(4711));
    }

    proptest! {
        #[test]
        fn any_bytes_go_through_the_door(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            door(&bytes);
        }

        #[test]
        fn any_event_round_trips(bytes in proptest::collection::vec(any::<u8>(), EVENT_BYTES)) {
            prop_assert_eq!(encode(&decode(&bytes).unwrap()), bytes);
        }
    }
}
