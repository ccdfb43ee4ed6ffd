//! Sockets in the node's own network namespace, where the address says nothing about the tenant.

use super::judge::judge;
use super::party::{Meeting, Party, holder, known_tenant, sender};
use super::workload::tunnel_granted;
use super::{Arrival, Judgement};
use crate::address;
use crate::event::{HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS};
use crate::flow::Flows;
use crate::identity;
use crate::maps::{INTERCEPT_PORT, RULE_NOT_MANAGED, SETTING_DEFER_TO_SOCKETS, Settings};
use crate::packet::{self, FRAGMENT_NONE, Headers, PROTOCOL_TCP, PROTOCOL_UDP, Packet};
use crate::policy::{Question, Tables, decide};
use crate::reason;
use crate::verdict::Verdict;

/// A packet that a socket of the node itself sends: towards a tenant's address its flow is tracked, so that the
/// answer finds its way back. A socket whose address is not the node's lives in some other network namespace.
#[must_use]
#[inline(always)]
pub fn from_host<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    ethertype: u16,
    packet: &P,
    now_ns: u64,
    headers: &mut Headers,
) -> Judgement {
    let ours = packet::parse_ip(packet, ethertype, headers).refusal().is_none()
        && holder(tables, &headers.source, now_ns).identity == identity::HOST;
    let destination = holder(tables, &headers.destination, now_ns);
    if !ours || !identity::is_tenant(destination.identity) || destination.workload != 0 {
        return Judgement::settled(identity::HOST, identity::UNKNOWN, Verdict::allow(RULE_NOT_MANAGED));
    }
    let meeting = Meeting::of(Party::known(identity::HOST), destination, HOOK_SOCKET_EGRESS, now_ns);
    judge(tables, packet, headers, &meeting)
}

/// A packet that a socket in the node's own network namespace sends. `tenant` is the socket's.
#[must_use]
#[inline(always)]
pub fn from_socket<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    tenant: u32,
    ethertype: u16,
    packet: &P,
    now_ns: u64,
    headers: &mut Headers,
) -> Judgement {
    if let Some(reason) = packet::parse_ip(packet, ethertype, headers).refusal() {
        return Judgement::refused(tenant, identity::UNKNOWN, reason);
    }
    if holder(tables, &headers.source, now_ns).identity != identity::HOST {
        return Judgement::refused(tenant, identity::UNKNOWN, reason::SOURCE_NOT_OWN);
    }
    if !tunnel_granted(0, headers.protocol) {
        return Judgement::refused(tenant, identity::UNKNOWN, reason::TUNNEL_NOT_GRANTED);
    }
    let destination = holder(tables, &headers.destination, now_ns);
    let mut judgement = if destination.identity == identity::HOST {
        known_tenant(tables, tenant, identity::HOST)
    } else {
        let mut meeting = Meeting::of(Party::known(tenant), destination, HOOK_SOCKET_EGRESS, now_ns);
        meeting.same_node = destination.workload;
        judge(tables, packet, headers, &meeting)
    };
    judgement.tag = tenant;
    judgement
}

/// A packet that a socket in the node's own network namespace is sent. `receiver` is the socket's identity:
/// a tenant, or the host. A socket of no workload whose address is not the node's lives in some other network
/// namespace (where no tag arrives: the kernel clears marks between namespaces), and is none of our business; nor is what passes between the host and the world.
#[must_use]
#[inline(always)]
pub fn to_socket<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    receiver: u32,
    ethertype: u16,
    packet: &P,
    arrival: &Arrival,
    now_ns: u64,
    headers: &mut Headers,
) -> Judgement {
    if let Some(reason) = packet::parse_ip(packet, ethertype, headers).refusal() {
        return Judgement::refused(identity::UNKNOWN, receiver, reason);
    }
    let elsewhere = receiver == identity::HOST
        && !identity::is_tenant(arrival.tag)
        && holder(tables, &headers.destination, now_ns).identity != identity::HOST;
    if elsewhere {
        let verdict = Verdict::allow(RULE_NOT_MANAGED);
        return Judgement::settled(identity::UNKNOWN, identity::UNKNOWN, verdict);
    }
    let source = match sender(tables, &headers.source, arrival, now_ns) {
        Ok(source) => source,
        // The agent's end of a tunnel inside a workload's namespace speaks under the address of the flow's sender,
        // which may be this node's own.
        Err(_) if receiver == identity::HOST && arrival.forwarded == 0 => {
            let verdict = Verdict::allow(RULE_NOT_MANAGED);
            return Judgement::settled(identity::UNKNOWN, identity::UNKNOWN, verdict);
        }
        Err(reason) => return Judgement::refused(identity::UNKNOWN, receiver, reason),
    };
    if hands_over(headers, source.identity, receiver) {
        let tenant = if receiver == identity::HOST { source.identity } else { receiver };
        return known_tenant(tables, tenant, identity::HOST);
    }
    if !identity::is_tenant(source.identity) && !identity::is_tenant(receiver) {
        return Judgement::settled(source.identity, receiver, Verdict::allow(RULE_NOT_MANAGED));
    }
    let mut meeting = Meeting::of(source, Party::known(receiver), HOOK_SOCKET_INGRESS, now_ns);
    meeting.same_node = arrival.within_node();
    // A workload on the node's network is sent nothing through a tunnel.
    meeting.attended = 0;
    let mut judgement = judge(tables, packet, headers, &meeting);
    judgement.tag = arrival.tag;
    judgement
}

/// True between a workload on the node's network and the agent that takes up its tunnel connections: towards its port
/// on loopback, and the answers from there, which open nothing.
#[inline(always)]
fn hands_over(headers: &Headers, source: u32, receiver: u32) -> bool {
    if headers.protocol != PROTOCOL_TCP || headers.fragment != FRAGMENT_NONE {
        return false;
    }
    if receiver == identity::HOST {
        identity::is_tenant(source)
            && headers.destination_port == INTERCEPT_PORT
            && address::is_loopback(&headers.destination)
    } else {
        source == identity::HOST
            && headers.source_port == INTERCEPT_PORT
            && headers.may_be_reply()
            && address::is_loopback(&headers.source)
    }
}

/// A socket of `tenant` that is about to connect or send, before there is a packet. `headers` names the
/// destination, protocol, destination port and service, and the socket's own port. The node's own addresses are left to the hook at the
/// receiving socket, if it runs.
#[must_use]
#[inline(always)]
pub fn toward<T: Tables>(
    tables: &T,
    settings: &Settings,
    tenant: u32,
    now_ns: u64,
    headers: &Headers,
) -> Judgement {
    let party = holder(tables, &headers.destination, now_ns);
    let deferred = party.identity == identity::HOST && settings.flags & SETTING_DEFER_TO_SOCKETS != 0;
    if deferred || address::is_loopback(&headers.destination) || !has_known_service(headers) {
        return known_tenant(tables, tenant, party.identity);
    }
    let question = Question {
        source: tenant,
        destination: party.identity,
        expired: party.expired,
        same_node: party.workload,
        remote: headers.destination,
        protocol: headers.protocol,
        service: headers.service,
    };
    let verdict = decide(tables, &question);
    if !verdict.passes() && may_answer(tables, &question, headers) {
        return known_tenant(tables, tenant, party.identity);
    }
    Judgement::settled(tenant, party.identity, verdict)
}

/// True when a datagram may answer a flow that the other side was allowed to open towards the socket's own port:
/// whether there is such a flow is for the packet hooks to say, which know the address it comes from.
#[inline(always)]
fn may_answer<T: Tables>(tables: &T, question: &Question, headers: &Headers) -> bool {
    if headers.protocol != PROTOCOL_UDP || headers.source_port == 0 {
        return false;
    }
    let asked = Question {
        source: question.destination,
        destination: question.source,
        service: headers.source_port,
        ..*question
    };
    decide(tables, &asked).passes()
}

/// A socket that names no service yet (a ping socket, a probe for the source address with port 0) is left to the
/// packets it sends.
#[inline(always)]
const fn has_known_service(headers: &Headers) -> bool {
    matches!(headers.protocol, PROTOCOL_TCP | PROTOCOL_UDP | packet::PROTOCOL_SCTP) && headers.service != 0
}
