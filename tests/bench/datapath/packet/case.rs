//! The packets that are measured again and again.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::super::frame::{ACK, SYN};
use super::super::runner::{FROM_WORKLOAD, Seen, TO_WORKLOAD};
use super::crowded::{CLOSED, Crowded, SERVICE, own};

/// A packet of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// The workload goes on asking.
    ForwardOut,
    /// The workload answers.
    ReplyOut,
    /// The workload is asked again.
    ForwardIn,
    /// The workload is answered.
    ReplyIn,
    /// The workload asks for what no rule allows.
    Denied,
}

impl Case {
    pub(super) const ALL: [Self; 5] =
        [Self::ForwardOut, Self::ReplyOut, Self::ForwardIn, Self::ReplyIn, Self::Denied];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ForwardOut => "established/forward/from_workload",
            Self::ReplyOut => "established/reply/from_workload",
            Self::ForwardIn => "established/forward/to_workload",
            Self::ReplyIn => "established/reply/to_workload",
            Self::Denied => "denied/from_workload",
        }
    }

    pub(super) const fn is_denied(self) -> bool {
        matches!(self, Self::Denied)
    }

    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::ForwardOut | Self::ReplyOut | Self::Denied => FROM_WORKLOAD,
            Self::ForwardIn | Self::ReplyIn => TO_WORKLOAD,
        }
    }

    /// The packet to measure, with the peer's `port` free to choose.
    pub(super) fn packet(self, crowd: &Crowded, peer: Ipv4Addr, port: u16) -> Seen {
        let theirs = |port| SocketAddrV4::new(peer, port);
        match self {
            Self::ForwardOut => crowd.seen(own(port), theirs(SERVICE), ACK),
            Self::ReplyOut => crowd.seen(own(SERVICE), theirs(port), ACK),
            Self::ForwardIn => crowd.seen(theirs(port), own(SERVICE), ACK),
            Self::ReplyIn => crowd.seen(theirs(SERVICE), own(port), ACK),
            Self::Denied => crowd.seen(own(port), theirs(CLOSED), ACK),
        }
    }

    /// The packet that opens its flow, and the program that sees that one.
    pub(super) fn opening(self, crowd: &Crowded, peer: Ipv4Addr, port: u16) -> Option<(&'static str, Seen)> {
        let theirs = |port| SocketAddrV4::new(peer, port);
        match self {
            Self::ForwardOut | Self::ReplyIn => {
                Some((FROM_WORKLOAD, crowd.seen(own(port), theirs(SERVICE), SYN)))
            }
            Self::ReplyOut | Self::ForwardIn => {
                Some((TO_WORKLOAD, crowd.seen(theirs(port), own(SERVICE), SYN)))
            }
            Self::Denied => None,
        }
    }
}
