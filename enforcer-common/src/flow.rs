//! Flow tracking: what gives replies their way back. Forward packets are decided each time; an entry made
//! under an older generation of its owner is decided again before it lets a reply pass.

use crate::maps::{FLOW_CLOSING, FlowKey, FlowValue, FragmentKey, FragmentValue};
use crate::packet::{Headers, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP};

const SECOND_NS: u64 = 1_000_000_000;
/// An idle TCP connection: longer than the two hours of a default keep-alive (RFC 1122, 4.2.3.6).
const TCP_IDLE_NS: u64 = 24 * 3600 * SECOND_NS;
/// After FIN or RST: twice the maximum segment lifetime that Linux uses, 60 s.
const CLOSING_NS: u64 = 120 * SECOND_NS;
/// UDP and others: RFC 4787 REQ-5 asks for no less than two minutes.
const OTHER_IDLE_NS: u64 = 180 * SECOND_NS;
/// ICMP echo.
const ICMP_IDLE_NS: u64 = 60 * SECOND_NS;
/// `last_seen_ns` is written back only when it is older than this, to keep the cache line quiet.
const REFRESH_NS: u64 = SECOND_NS;

/// Where flows and fragmented datagrams are remembered.
pub trait Flows {
    /// A tracked flow.
    fn flow(&self, key: &FlowKey) -> Option<FlowValue>;
    /// Remembers a flow, or what changed about it.
    fn put_flow(&self, key: &FlowKey, value: &FlowValue);
    /// A datagram whose first fragment was allowed.
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentValue>;
    /// Remembers how far a datagram has come.
    fn put_fragment(&self, key: &FragmentKey, value: &FragmentValue);
    /// The drop reason of a response that refuses a tenant a new flow now; [`crate::reason::NONE`] when none does.
    fn response(&self, tenant: u32, now_ns: u64) -> u16;
}

/// The key of the flow that these headers open or continue.
#[must_use]
#[inline(always)]
pub const fn forward_key(headers: &Headers) -> FlowKey {
    FlowKey {
        source: headers.source,
        destination: headers.destination,
        source_port: headers.source_port,
        destination_port: headers.destination_port,
        protocol: headers.protocol,
        reserved: [0; 3],
    }
}

/// The key of the flow that these headers would answer.
#[must_use]
#[inline(always)]
pub const fn reverse_key(headers: &Headers) -> FlowKey {
    FlowKey {
        source: headers.destination,
        destination: headers.source,
        source_port: headers.destination_port,
        destination_port: headers.source_port,
        protocol: headers.protocol,
        reserved: [0; 3],
    }
}

/// True when a flow has been quiet for so long that its ports may mean something else by now.
#[must_use]
#[inline(always)]
pub const fn is_idle(flow: &FlowValue, protocol: u8, now_ns: u64) -> bool {
    let limit = match protocol {
        PROTOCOL_TCP if flow.flags & FLOW_CLOSING != 0 => CLOSING_NS,
        PROTOCOL_TCP => TCP_IDLE_NS,
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => ICMP_IDLE_NS,
        _ => OTHER_IDLE_NS,
    };
    now_ns.saturating_sub(flow.last_seen_ns) > limit
}

/// True when the entry should be written back because it has aged.
#[must_use]
#[inline(always)]
pub const fn needs_refresh(flow: &FlowValue, now_ns: u64) -> bool {
    now_ns.saturating_sub(flow.last_seen_ns) > REFRESH_NS
}
