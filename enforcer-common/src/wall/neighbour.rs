//! ARP, neighbour discovery (RFC 4861) and multicast listener discovery: whose addresses a workload may claim, and
//! what may arrive.

use super::party::holder;
use super::workload::is_own;
use crate::address::{self, Address};
use crate::identity;
use crate::maps::{InterfaceValue, RULE_NEIGHBOUR, RULE_NO_MATCH};
use crate::packet::{Headers, PROTOCOL_ICMPV6, Packet};
use crate::policy::Tables;
use crate::reason;
use crate::verdict::Verdict;

/// ARP may claim the workload's own address, or none (a probe, RFC 5227).
#[inline(always)]
pub(super) fn arp_verdict<T: Tables>(tables: &T, interface: &InterfaceValue, sender: &Address) -> Verdict {
    if matches!(address::to_v4(sender), Some([0, 0, 0, 0])) || is_own(tables, interface, sender) {
        return Verdict::allow(RULE_NEIGHBOUR);
    }
    Verdict::deny(RULE_NO_MATCH, reason::ARP_FOREIGN)
}

const ND_ROUTER_SOLICITATION: u8 = 133;
const ND_ROUTER_ADVERTISEMENT: u8 = 134;
const ND_NEIGHBOUR_SOLICITATION: u8 = 135;
const ND_NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const ND_REDIRECT: u8 = 137;
const MLD_REPORT_V1: u8 = 131;
const MLD_DONE: u8 = 132;
const MLD_REPORT_V2: u8 = 143;
/// Neighbour discovery never crosses a router (RFC 4861, 7.1).
const ND_HOP_LIMIT: u8 = 255;
/// Nor does multicast listener discovery (RFC 3810, 5).
const MLD_HOP_LIMIT: u8 = 1;

/// Neighbour discovery (RFC 4861) and multicast listener discovery (RFC 2710, RFC 3810).
#[inline(always)]
pub(super) const fn is_neighbour_discovery(headers: &Headers) -> bool {
    headers.protocol == PROTOCOL_ICMPV6 && matches!(headers.icmp_type(), 130..=137 | MLD_REPORT_V2)
}

/// A workload may ask, and may answer for its own addresses; towards everybody on the link, its own tenant or
/// the node, but not towards another tenant's address. Router messages are not its to send.
#[inline(always)]
pub(super) fn neighbour_verdict<T: Tables, P: Packet + ?Sized>(
    tables: &T,
    interface: &InterfaceValue,
    packet: &P,
    headers: &Headers,
    now_ns: u64,
) -> Verdict {
    let refuse = Verdict::deny(RULE_NO_MATCH, reason::ND_FOREIGN);
    let allow = Verdict::allow(RULE_NEIGHBOUR);
    let multicast = address::is_multicast_v6(&headers.destination);
    let on_link = multicast || address::is_link_local_v6(&headers.destination);
    let to = holder(tables, &headers.destination, now_ns).identity;
    if !on_link && to != interface.tenant && to != identity::HOST {
        return refuse;
    }
    let claims_nothing =
        address::is_link_local_v6(&headers.source) || address::is_unspecified(&headers.source);
    if !claims_nothing && !is_own(tables, interface, &headers.source) {
        return refuse;
    }
    match headers.icmp_type() {
        MLD_REPORT_V1 | MLD_DONE | MLD_REPORT_V2 if headers.hop_limit == MLD_HOP_LIMIT && multicast => allow,
        ND_ROUTER_SOLICITATION | ND_NEIGHBOUR_SOLICITATION if headers.hop_limit == ND_HOP_LIMIT => allow,
        ND_NEIGHBOUR_ADVERTISEMENT if headers.hop_limit == ND_HOP_LIMIT => {
            let Some(target) = packet.read::<16>(headers.transport + 8) else { return refuse };
            if address::is_link_local_v6(&target) || is_own(tables, interface, &target) {
                allow
            } else {
                refuse
            }
        }
        _ => refuse,
    }
}

/// What arrives from a tenant's interface may only ask or answer; what arrives from the node or the link may
/// also be a router's.
#[inline(always)]
pub(super) const fn arriving_neighbour_verdict(headers: &Headers, tag: u32, tenant: u32) -> Verdict {
    let from_tenant = identity::is_tenant(tag);
    let fits = match headers.icmp_type() {
        ND_NEIGHBOUR_SOLICITATION | ND_NEIGHBOUR_ADVERTISEMENT => headers.hop_limit == ND_HOP_LIMIT,
        ND_ROUTER_SOLICITATION | ND_ROUTER_ADVERTISEMENT | ND_REDIRECT => {
            headers.hop_limit == ND_HOP_LIMIT && !from_tenant
        }
        _ => headers.hop_limit == MLD_HOP_LIMIT && (!from_tenant || tag == tenant),
    };
    if fits { Verdict::allow(RULE_NEIGHBOUR) } else { Verdict::deny(RULE_NO_MATCH, reason::ND_FOREIGN) }
}
