//! The contract between the programs in the kernel and whoever reads and writes their maps.

use core::mem::size_of;

use crate::event::{Event, Header, PacketEvent, ProcessEvent, SocketEvent};
use crate::layout::FileLayout;
use crate::maps;
use crate::telling::{OwnerValue, ResponseValue, SocketMemo, TaskLayout, Telling};

/// Raised whenever a map's key, value or meaning changes. Pins live in a directory of this number; an agent
/// never adopts maps of another one.
pub const VERSION: u32 = 4;

/// Size of every shared type, in bytes: a change here is a change of [`VERSION`].
macro_rules! sizes {
    ($($type:ty = $size:literal;)+) => {
        $(const _: () = assert!(size_of::<$type>() == $size, stringify!($type));)+

        /// Name and size in bytes of every shared type.
        pub const SIZES: &[(&str, usize)] = &[$((stringify!($type), $size)),+];

        #[cfg(feature = "user")]
        mod pod {
            use super::*;
            $(
                // SAFETY: the type is `repr(C)`, holds integers and byte arrays only, and has no padding
                // (its size above is the sum of its fields), so every bit pattern is a value.
                unsafe impl aya::Pod for $type {}
            )+
        }
    };
}

sizes! {
    maps::TenantValue = 16;
    maps::RuleValue = 12;
    maps::PairKey = 12;
    maps::PairValue = 32;
    maps::PortKey = 16;
    maps::CidrData = 28;
    maps::CidrValue = 36;
    maps::AddressValue = 24;
    maps::InterfaceValue = 56;
    maps::CgroupValue = 48;
    maps::OriginKey = 32;
    maps::OriginValue = 48;
    maps::SocketTag = 24;
    maps::GateKey = 12;
    maps::GateValue = 8;
    maps::CustodyKey = 12;
    maps::CustodyValue = 8;
    maps::TouchKey = 24;
    maps::TouchValue = 16;
    maps::HandleValue = 48;
    maps::HoldingRecord = 56;
    maps::GrantKey = 20;
    maps::GrantValue = 8;
    maps::Settings = 16;
    maps::FlowKey = 40;
    maps::FlowValue = 40;
    maps::FragmentKey = 40;
    maps::FragmentValue = 8;
    maps::CounterKey = 12;
    maps::CounterValue = 16;
    maps::BucketValue = 16;
    maps::LossKey = 8;
    Telling = 32;
    TaskLayout = 48;
    FileLayout = 72;
    OwnerValue = 24;
    SocketMemo = 40;
    ResponseValue = 16;
    Header = 24;
    Event = 152;
    PacketEvent = 288;
    SocketEvent = 128;
    ProcessEvent = 480;
}
