//! The shared structs field by field, in their order and without padding: reading needs no pointer, and a new field
//! breaks the build here.

use enforcer_common::event::{Event, Header, PacketEvent, ProcessEvent, SocketEvent};

/// What has a fixed place in an event.
pub(super) trait Wire: Sized {
    /// Takes it from the front of `rest`.
    fn read(rest: &mut &[u8]) -> Option<Self>;

    /// Puts it behind `bytes`.
    fn write(&self, bytes: &mut Vec<u8>);
}

macro_rules! integers {
    ($($type:ty)+) => {$(
        impl Wire for $type {
            #[inline]
            fn read(rest: &mut &[u8]) -> Option<Self> {
                <[u8; size_of::<$type>()]>::read(rest).map(<$type>::from_ne_bytes)
            }

            #[inline]
            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_ne_bytes());
            }
        }
    )+};
}

integers!(u8 u16 u32 u64);

impl<const N: usize> Wire for [u8; N] {
    #[inline]
    fn read(rest: &mut &[u8]) -> Option<Self> {
        let (head, tail) = rest.split_first_chunk()?;
        *rest = tail;
        Some(*head)
    }

    #[inline]
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self);
    }
}

macro_rules! structs {
    ($($type:ident { $($field:ident),+ $(,)? })+) => {$(
        impl Wire for $type {
            #[inline]
            fn read(rest: &mut &[u8]) -> Option<Self> {
                $(let $field = Wire::read(rest)?;)+
                Some(Self { $($field),+ })
            }

            #[inline]
            fn write(&self, bytes: &mut Vec<u8>) {
                let Self { $($field),+ } = self;
                $($field.write(bytes);)+
            }
        }
    )+};
}

structs! {
    Header { boot_ns, sequence, kind, cpu, ring, reserved }
    Event {
        header, revision, cgroup, cookie, source, destination, source_identity, destination_identity, rule,
        shadow_rule, interface, process, major, minor, class, source_port, destination_port, reason, protocol, hook,
        action, shadow_action, access, device_kind, tcp_flags, command, reserved,
    }
    PacketEvent { event, length, captured, bytes }
    SocketEvent {
        header, cgroup, cookie, since_ns, bytes_sent, bytes_received, local, remote, identity, remote_identity,
        process, segments_out, segments_in, retransmits, local_port, remote_port, old_state, new_state, flags,
        reserved,
    }
    ProcessEvent {
        header, cgroup, start_ns, parent_start_ns, process, parent, uid, identity, exit_code, flags,
        executable_length, arguments_length, reserved, command, executable, arguments,
    }
}
