//! Tests of the decoder.

use std::mem::offset_of;

use proptest::prelude::*;

use super::*;

/// Byte `n` is `n`, but the kind: each field is the bytes of its own place.
fn numbered(length: usize, kind: u16) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|place| u8::try_from(place % 251).unwrap()).collect();
    bytes[16..18].copy_from_slice(&kind.to_ne_bytes());
    bytes
}

macro_rules! at {
    ($type:ident $value:ident $bytes:ident: $($field:ident: $width:ty = $offset:literal;)+) => {$(
        assert_eq!(offset_of!($type, $field), $offset, stringify!($field));
        let place = &$bytes[$offset..$offset + size_of::<$width>()];
        assert_eq!($value.$field, <$width>::from_ne_bytes(place.try_into().unwrap()), stringify!($field));
    )+};
}

#[test]
fn every_field_of_a_decision_is_read_from_its_place() {
    let bytes = numbered(152, KIND_FLOW_REFUSED);
    let Decoded::Decision(event) = decode(&bytes).unwrap() else { panic!("no decision") };
    let header = event.header;
    at! { Header header bytes: boot_ns: u64 = 0; sequence: u64 = 8; kind: u16 = 16; cpu: u16 = 18; ring: u16 = 20; }
    at! { Event event bytes:
        revision: u64 = 24; cgroup: u64 = 32; cookie: u64 = 40;
        source_identity: u32 = 80; destination_identity: u32 = 84; rule: u32 = 88; shadow_rule: u32 = 92;
        interface: u32 = 96; process: u32 = 100; major: u32 = 104; minor: u32 = 108; class: u32 = 112;
        source_port: u16 = 116; destination_port: u16 = 118; reason: u16 = 120;
        protocol: u8 = 122; hook: u8 = 123; action: u8 = 124; shadow_action: u8 = 125; access: u8 = 126;
        device_kind: u8 = 127; tcp_flags: u8 = 128;
    }
    assert_eq!((offset_of!(Event, source), offset_of!(Event, destination)), (48, 64));
    assert_eq!((event.source[0], event.source[15], event.destination[0]), (48, 63, 64));
    assert_eq!((offset_of!(Event, command), offset_of!(Event, reserved)), (129, 145));
    assert_eq!((event.command[0], event.command[15], event.reserved[0]), (129, 144, 145));
}

#[test]
fn a_refused_packet_is_told_apart_by_its_length() {
    let bytes = numbered(288, KIND_FLOW_REFUSED);
    let Decoded::Packet(packet) = decode(&bytes).unwrap() else { panic!("no packet") };
    at! { PacketEvent packet bytes: length: u32 = 152; captured: u32 = 156; }
    assert_eq!(packet.bytes[0], 160);
    assert_eq!(packet.packet().len(), 128, "more captured than there is room for is what there is room for");
    let bytes = numbered(288, KIND_FLOW_ALLOWED);
    assert_eq!(decode(&bytes), Err(Undecodable::Length { kind: KIND_FLOW_ALLOWED, bytes: 288 }));
}

#[test]
fn every_field_of_a_socket_is_read_from_its_place() {
    let bytes = numbered(128, KIND_SOCKET_END);
    let Decoded::Socket(socket) = decode(&bytes).unwrap() else { panic!("no socket") };
    at! { SocketEvent socket bytes:
        cgroup: u64 = 24; cookie: u64 = 32; since_ns: u64 = 40; bytes_sent: u64 = 48; bytes_received: u64 = 56;
        identity: u32 = 96; remote_identity: u32 = 100; process: u32 = 104; segments_out: u32 = 108;
        segments_in: u32 = 112; retransmits: u32 = 116; local_port: u16 = 120; remote_port: u16 = 122;
        old_state: u8 = 124; new_state: u8 = 125; flags: u8 = 126;
    }
    assert_eq!((socket.local[0], socket.remote[0]), (64, 80));
}

#[test]
fn every_field_of_a_process_is_read_from_its_place() {
    let bytes = numbered(480, KIND_PROCESS_EXEC);
    let Decoded::Process(process) = decode(&bytes).unwrap() else { panic!("no process") };
    at! { ProcessEvent process bytes:
        cgroup: u64 = 24; start_ns: u64 = 32; parent_start_ns: u64 = 40; process: u32 = 48; parent: u32 = 52;
        uid: u32 = 56; identity: u32 = 60; exit_code: u32 = 64; flags: u32 = 68; executable_length: u16 = 72;
        arguments_length: u16 = 74;
    }
    assert_eq!((process.command[0], process.executable[0], process.arguments[0]), (80, 96, 224));
    assert_eq!((process.path().len(), process.argument_bytes().len()), (128, 256));
}

#[test]
fn a_fork_and_an_exit_are_short() {
    for kind in [KIND_PROCESS_FORK, KIND_PROCESS_EXIT] {
        let Decoded::Process(process) = decode(&numbered(96, kind)).unwrap() else { panic!("no process") };
        assert_eq!((process.header.kind, process.command[15]), (kind, 95));
        assert_eq!(process.executable, [0; 128]);
        assert_eq!(decode(&numbered(480, kind)), Err(Undecodable::Length { kind, bytes: 480 }));
    }
    let short_exec = decode(&numbered(96, KIND_PROCESS_EXEC));
    assert_eq!(short_exec, Err(Undecodable::Length { kind: KIND_PROCESS_EXEC, bytes: 96 }));
}

#[test]
fn another_length_is_refused_with_its_length() {
    for bytes in [0, 1, 23] {
        assert_eq!(decode(&vec![1; bytes]), Err(Undecodable::Short { bytes }));
    }
    for bytes in [24, 151, 153, 287, 289] {
        let event = numbered(bytes, KIND_FLOW_REFUSED);
        assert_eq!(decode(&event), Err(Undecodable::Length { kind: KIND_FLOW_REFUSED, bytes }));
    }
}

#[test]
fn an_unknown_kind_is_kept() {
    let header = Header { kind: 4711, sequence: 3, ..Header::default() };
    let event = Event { header, rule: 9, ..Event::default() };
    assert_eq!(decode(&encode(&event)), Ok(Decoded::Decision(event)));
    assert_eq!(Kind::of(&event), Kind::Unknown(4711));
    let mut longer = encode(&event);
    longer.push(0);
    assert_eq!(decode(&longer), Ok(Decoded::Unknown(header)));
}

proptest! {
    #[test]
    fn any_bytes_go_through_the_door(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..600),
        kind in 0_u16..12,
        length in prop_oneof![Just(None), Just(Some(96)), Just(Some(128)), Just(Some(152)), Just(Some(288)), Just(Some(480))],
    ) {
        if let Some(length) = length {
            bytes.resize(length, 7);
        }
        door(&bytes);
        if let Some(place) = bytes.get_mut(16..18) {
            place.copy_from_slice(&kind.to_ne_bytes());
        }
        door(&bytes);
    }
}
