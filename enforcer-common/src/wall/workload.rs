//! The host-side interface of a workload: what it sends, and what it is sent.

use super::judge::judge;
use super::neighbour::{arp_verdict, arriving_neighbour_verdict, is_neighbour_discovery, neighbour_verdict};
use super::party::{Meeting, Party, holder, known_tenant, sender};
use super::{Arrival, Judgement};
use crate::address::{self, Address};
use crate::event::{HOOK_FROM_WORKLOAD, HOOK_TO_WORKLOAD};
use crate::flow::Flows;
use crate::identity;
use crate::maps::{
    GRANT_GRE, GRANT_IPIP, GRANT_VLAN, INTERFACE_TUNNEL, InterfaceValue, RULE_NEIGHBOUR,
    SETTING_DEFER_TO_SOCKETS, Settings,
};
use crate::packet::{
    self, Headers, PROTOCOL_GRE, PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_TCP, Packet, Parsed,
};
use crate::policy::Tables;
use crate::reason;
use crate::verdict::Verdict;

/// A packet that the workload behind `interface` sends. The headers are written as far as they can be read.
#[must_use]
#[inline(always)]
pub fn from_workload<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    settings: &Settings,
    interface: &InterfaceValue,
    packet: &P,
    now_ns: u64,
    headers: &mut Headers,
) -> Judgement {
    let tenant = interface.tenant;
    let parsed = packet::parse_frame(packet, interface.grants & GRANT_VLAN, headers);
    if let Some(reason) = parsed.refusal() {
        return Judgement::refused(tenant, identity::UNKNOWN, reason);
    }
    if parsed == Parsed::ARP {
        let verdict = arp_verdict(tables, interface, &headers.source);
        return Judgement { tag: tenant, ..Judgement::settled(tenant, identity::UNKNOWN, verdict) };
    }
    if is_neighbour_discovery(headers) {
        let verdict = neighbour_verdict(tables, interface, packet, headers, now_ns);
        return Judgement { tag: tenant, ..Judgement::settled(tenant, identity::UNKNOWN, verdict) };
    }
    if !is_own(tables, interface, &headers.source) {
        return Judgement::refused(tenant, identity::UNKNOWN, reason::SOURCE_NOT_OWN);
    }
    if !tunnel_granted(interface.grants, headers.protocol) {
        return Judgement::refused(tenant, identity::UNKNOWN, reason::TUNNEL_NOT_GRANTED);
    }
    let destination = holder(tables, &headers.destination, now_ns);
    let source = Party::of(interface, now_ns);
    let left_to_sockets = settings.flags & SETTING_DEFER_TO_SOCKETS != 0
        && source.expired == 0
        && destination.identity == identity::HOST
        && headers.protocol == PROTOCOL_TCP;
    let mut judgement = if left_to_sockets {
        known_tenant(tables, tenant, destination.identity)
    } else {
        let mut meeting = Meeting::of(source, destination, HOOK_FROM_WORKLOAD, now_ns);
        meeting.same_node = destination.workload;
        judge(tables, packet, headers, &meeting)
    };
    judgement.tag = tenant;
    judgement
}

/// A packet that the workload behind `interface` is sent. The headers are written as far as they can be read.
#[must_use]
#[inline(always)]
pub fn to_workload<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    interface: &InterfaceValue,
    packet: &P,
    arrival: &Arrival,
    now_ns: u64,
    headers: &mut Headers,
) -> Judgement {
    let tenant = interface.tenant;
    let parsed = packet::parse_frame(packet, interface.grants & GRANT_VLAN, headers);
    if let Some(reason) = parsed.refusal() {
        return Judgement::refused(identity::UNKNOWN, tenant, reason);
    }
    if parsed == Parsed::ARP {
        return Judgement::settled(identity::UNKNOWN, tenant, Verdict::allow(RULE_NEIGHBOUR));
    }
    if is_neighbour_discovery(headers) {
        let verdict = arriving_neighbour_verdict(headers, arrival.tag, tenant);
        return Judgement::settled(identity::UNKNOWN, tenant, verdict);
    }
    let source = match sender(tables, &headers.source, arrival, now_ns) {
        Ok(source) => source,
        Err(reason) => return Judgement::refused(identity::UNKNOWN, tenant, reason),
    };
    if !is_own(tables, interface, &headers.destination) {
        return Judgement::refused(source.identity, tenant, reason::DESTINATION_NOT_OWN);
    }
    let mut meeting = Meeting::of(source, Party::of(interface, now_ns), HOOK_TO_WORKLOAD, now_ns);
    meeting.same_node = arrival.within_node();
    meeting.attended = interface.flags & INTERFACE_TUNNEL;
    let mut judgement = judge(tables, packet, headers, &meeting);
    judgement.tag = arrival.tag;
    judgement
}

/// The workload's own address: one of the two beside its interface, or any that the table gives it.
#[inline(always)]
pub(super) fn is_own<T: Tables>(tables: &T, interface: &InterfaceValue, address: &Address) -> bool {
    if address::same(address, &interface.v4) || address::same(address, &interface.v6) {
        return !address::is_unspecified(address);
    }
    matches!(tables.address(address), Some(value)
        if value.workload != 0 && value.workload == interface.workload)
}

/// IP-in-IP and GRE hide another packet from every check here.
#[inline(always)]
pub(super) const fn tunnel_granted(grants: u32, protocol: u8) -> bool {
    match protocol {
        PROTOCOL_IPIP | PROTOCOL_IPV6 => grants & GRANT_IPIP != 0,
        PROTOCOL_GRE => grants & GRANT_GRE != 0,
        _ => true,
    }
}
