//! The network wall: from a packet and the tables to a [`Judgement`], for each place where a packet is seen.
//! The kernel programs call these functions with maps behind the traits; the tests call the very same
//! functions with tables on the host.

use crate::address::{self, Address};
use crate::event::{HOOK_FROM_WORKLOAD, HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS, HOOK_TO_WORKLOAD};
use crate::flow::{Flows, forward_key, is_idle, needs_refresh, reverse_key};
use crate::identity;
use crate::maps::{
    FLOW_CLOSING, FlowKey, FlowValue, FragmentKey, FragmentValue, GRANT_GRE, GRANT_IPIP, GRANT_VLAN,
    InterfaceValue, RULE_NEIGHBOUR, RULE_NO_MATCH, RULE_NOT_MANAGED, RULE_RELATED, SETTING_DEFER_TO_SOCKETS,
    SLOT_PRESENT, Settings,
};
use crate::packet::{
    self, FRAGMENT_FIRST, FRAGMENT_LATER, FRAGMENT_NONE, Headers, PROTOCOL_GRE, PROTOCOL_ICMPV6,
    PROTOCOL_IPIP, PROTOCOL_IPV6, PROTOCOL_TCP, PROTOCOL_UDP, Packet, Parsed, TCP_ACK, TCP_FIN, TCP_RST,
    TCP_SYN,
};
use crate::policy::{Question, Tables, decide};
use crate::reason;
use crate::verdict::Verdict;

/// What was found about a packet, beside its headers: enough to act, to count and to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// Identity of the sender.
    pub source: u32,
    /// Identity of the receiver.
    pub destination: u32,
    /// The tag that the packet should carry from here on: 0 for none.
    pub tag: u32,
    /// 1 for the packet that opened a flow.
    pub opened: u32,
}

impl Judgement {
    /// A verdict that opens no flow.
    #[must_use]
    #[inline(always)]
    pub const fn settled(source: u32, destination: u32, verdict: Verdict) -> Self {
        Self { verdict, source, destination, tag: 0, opened: 0 }
    }

    #[inline(always)]
    const fn refused(source: u32, destination: u32, reason: u16) -> Self {
        Self::settled(source, destination, Verdict::deny(RULE_NO_MATCH, reason))
    }
}

/// How a packet came to the hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// The tag in its mark; 0 for none.
    pub tag: u32,
    /// Not 0 when it came in from another interface (loopback aside): such a packet is not the host's, whatever
    /// its address says, since it may have been masqueraded.
    pub forwarded: u32,
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Party {
    identity: u32,
    /// The workload on this node that holds the address, or 0.
    workload: u32,
    expired: u32,
}

impl Party {
    /// The workload behind an interface.
    #[inline(always)]
    const fn of(interface: &InterfaceValue, now_ns: u64) -> Self {
        Self {
            identity: interface.tenant,
            workload: interface.workload,
            expired: lapsed(interface.lease_until_ns, now_ns),
        }
    }

    #[inline(always)]
    const fn known(identity: u32) -> Self {
        Self { identity, workload: 0, expired: 0 }
    }
}

/// Both ends of a flow, and where and when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Meeting {
    now_ns: u64,
    source: u32,
    destination: u32,
    expired: u32,
    hook: u8,
}

impl Meeting {
    #[inline(always)]
    const fn of(source: Party, destination: Party, hook: u8, now_ns: u64) -> Self {
        Self {
            now_ns,
            source: source.identity,
            destination: destination.identity,
            expired: source.expired | destination.expired,
            hook,
        }
    }
}

/// 1 when a lease has run out.
#[inline(always)]
const fn lapsed(until_ns: u64, now_ns: u64) -> u32 {
    if until_ns != 0 && until_ns < now_ns { 1 } else { 0 }
}

/// Who holds an address; an address that nobody holds is the world's.
#[inline(always)]
fn party_at<T: Tables>(tables: &T, address: &Address, now_ns: u64) -> Party {
    match tables.address(address) {
        Some(value) => Party {
            identity: value.identity,
            workload: value.workload,
            expired: lapsed(value.lease_until_ns, now_ns),
        },
        None => Party { identity: identity::WORLD, workload: 0, expired: 0 },
    }
}

/// The tag in a packet mark; 0 for none.
#[must_use]
#[inline(always)]
pub const fn tag_of(settings: &Settings, mark: u32) -> u32 {
    (mark & settings.tag_mask) >> (settings.tag_shift & 31)
}

/// The mark with its tag replaced; the other bits belong to others and stay. A tag that does not fit is left out:
/// half of it would be another tenant's.
#[must_use]
#[inline(always)]
pub const fn tagged(settings: &Settings, mark: u32, tag: u32) -> u32 {
    let bits = (tag << (settings.tag_shift & 31)) & settings.tag_mask;
    let fits = bits >> (settings.tag_shift & 31) == tag;
    (mark & !settings.tag_mask) | if fits { bits } else { 0 }
}

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
        let meeting = Meeting::of(source, destination, HOOK_FROM_WORKLOAD, now_ns);
        judge(tables, packet, headers, &meeting)
    };
    judgement.tag = tenant;
    judgement
}

/// Passes a packet on to the hook that will decide, unless its tenant is not in the policy in force.
#[inline(always)]
fn known_tenant<T: Tables>(tables: &T, tenant: u32, destination: u32) -> Judgement {
    match tables.tenant(tenant) {
        Some(slot) if slot.flags & SLOT_PRESENT != 0 => {
            Judgement::settled(tenant, destination, Verdict::allow(RULE_NOT_MANAGED))
        }
        _ => Judgement::refused(tenant, destination, reason::TENANT_UNKNOWN),
    }
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
    let meeting = Meeting::of(source, Party::of(interface, now_ns), HOOK_TO_WORKLOAD, now_ns);
    let mut judgement = judge(tables, packet, headers, &meeting);
    judgement.tag = arrival.tag;
    judgement
}

/// Who sent a packet: a tenant's tag says so, else the address does. An untagged packet with the address of a
/// workload on this node did not come through that workload's interface, and one with the node's own address
/// that came from elsewhere is not the node's.
#[inline(always)]
fn sender<T: Tables>(tables: &T, source: &Address, arrival: &Arrival, now_ns: u64) -> Result<Party, u16> {
    if identity::is_tenant(arrival.tag) {
        return Ok(Party::known(arrival.tag));
    }
    let party = holder(tables, source, now_ns);
    if party.workload != 0 {
        return Err(reason::SOURCE_NOT_OWN);
    }
    if party.identity == identity::HOST && arrival.forwarded != 0 {
        return Ok(Party::known(identity::WORLD));
    }
    Ok(party)
}

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

/// Who holds an address, loopback being the host's.
#[inline(always)]
fn holder<T: Tables>(tables: &T, address: &Address, now_ns: u64) -> Party {
    if address::is_loopback(address) {
        return Party::known(identity::HOST);
    }
    party_at(tables, address, now_ns)
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
        let meeting = Meeting::of(Party::known(tenant), destination, HOOK_SOCKET_EGRESS, now_ns);
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
        Err(reason) => return Judgement::refused(identity::UNKNOWN, receiver, reason),
    };
    if !identity::is_tenant(source.identity) && !identity::is_tenant(receiver) {
        return Judgement::settled(source.identity, receiver, Verdict::allow(RULE_NOT_MANAGED));
    }
    let meeting = Meeting::of(source, Party::known(receiver), HOOK_SOCKET_INGRESS, now_ns);
    let mut judgement = judge(tables, packet, headers, &meeting);
    judgement.tag = arrival.tag;
    judgement
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

/// A flow between two identified ends. The parts are functions of their own in the kernel, one after the other
/// and never nested: its stack has 512 bytes for all that are active at once.
#[inline(always)]
fn judge<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    headers: &mut Headers,
    meeting: &Meeting,
) -> Judgement {
    let mut case = Case {
        verdict: Verdict::deny(RULE_NO_MATCH, reason::NONE),
        question: Question {
            source: meeting.source,
            destination: meeting.destination,
            expired: meeting.expired,
            remote: [0; 16],
            protocol: headers.protocol,
            service: 0,
        },
    };
    let next = if headers.is_icmp_error() && headers.fragment != FRAGMENT_LATER {
        case.verdict.action = related(tables, packet, headers, meeting, &mut case.verdict);
        SETTLED
    } else {
        consult(tables, headers, meeting, &mut case)
    };
    let mut opened = 0;
    if next == AS_REPLY || next == AS_FORWARD {
        case.verdict = decide(tables, &case.question);
    }
    if next != SETTLED && case.verdict.passes() {
        opened = remember(tables, headers, meeting, &case.verdict, next);
    }
    Judgement {
        verdict: case.verdict,
        source: meeting.source,
        destination: meeting.destination,
        tag: 0,
        opened,
    }
}

/// What [`consult`] found: the verdict, or the question that is still to be decided.
struct Case {
    verdict: Verdict,
    question: Question,
}

/// The verdict is there.
const SETTLED: u32 = 0;
/// The packet answers a flow that must be decided again.
const AS_REPLY: u32 = 1;
/// The packet goes forward.
const AS_FORWARD: u32 = 2;
/// The verdict is there, and the packet is the first fragment of a datagram.
const AS_CURRENT: u32 = 3;

/// Looks for what settles a packet without a decision: its fragments, the flow it answers or is about.
#[inline(never)]
fn consult<T: Tables + Flows>(tables: &T, headers: &mut Headers, meeting: &Meeting, case: &mut Case) -> u32 {
    if headers.fragment == FRAGMENT_LATER
        && let Err(reason) = join_fragments(tables, headers, meeting.hook)
    {
        case.verdict.reason = reason;
        return SETTLED;
    }
    case.question.remote = remote_of(&headers.source, &headers.destination, meeting.source);
    case.question.service = headers.service;
    if headers.may_be_reply() { answer(tables, headers, meeting, case) } else { AS_FORWARD }
}

/// A packet that may answer a tracked flow.
#[inline(always)]
fn answer<T: Tables + Flows>(tables: &T, headers: &Headers, meeting: &Meeting, case: &mut Case) -> u32 {
    let key = reverse_key(headers);
    let Some(mut flow) = tables.flow(&key) else { return AS_FORWARD };
    // A workload on the node's network opened the flow under its own name; by its address it is the node. Which
    // socket it is for is asked again at the socket.
    let to_opener = flow.source == meeting.destination
        || meeting.destination == identity::HOST
            && meeting.hook == HOOK_FROM_WORKLOAD
            && identity::is_tenant(flow.source);
    if !to_opener || flow.destination != meeting.source || is_idle(&flow, headers.protocol, meeting.now_ns) {
        return AS_FORWARD;
    }
    if meeting.expired != 0 || !is_current(tables, &flow) {
        case.question.source = flow.source;
        case.question.destination = flow.destination;
        case.question.remote = remote_of(&key.source, &key.destination, flow.source);
        case.question.service = flow.service;
        return AS_REPLY;
    }
    case.verdict = Verdict::allow(flow.rule).under(flow.owner, flow.generation);
    let closing = closes(headers) && flow.flags & FLOW_CLOSING == 0;
    if closing || needs_refresh(&flow, meeting.now_ns) {
        if closing {
            flow.flags |= FLOW_CLOSING;
        }
        flow.last_seen_ns = meeting.now_ns;
        tables.put_flow(&key, &flow);
    }
    if headers.fragment == FRAGMENT_FIRST { AS_CURRENT } else { SETTLED }
}

/// Remembers the flow of a packet that was decided and may pass; 1 when the flow is new.
#[inline(never)]
fn remember<T: Flows>(
    tables: &T,
    headers: &Headers,
    meeting: &Meeting,
    verdict: &Verdict,
    direction: u32,
) -> u32 {
    remember_first_fragment(tables, headers, meeting);
    match direction {
        AS_FORWARD => track(tables, headers, meeting, verdict),
        AS_REPLY => renew(tables, headers, meeting, verdict),
        _ => 0,
    }
}

/// A flow that was decided again on behalf of its reply.
#[inline(always)]
fn renew<T: Flows>(tables: &T, headers: &Headers, meeting: &Meeting, verdict: &Verdict) -> u32 {
    let key = reverse_key(headers);
    if let Some(mut flow) = tables.flow(&key) {
        flow.last_seen_ns = meeting.now_ns;
        flow.owner = verdict.owner;
        flow.generation = verdict.generation;
        flow.rule = verdict.rule;
        tables.put_flow(&key, &flow);
    }
    0
}

/// A flow in its forward direction; 1 when it is new.
#[inline(always)]
fn track<T: Flows>(tables: &T, headers: &Headers, meeting: &Meeting, verdict: &Verdict) -> u32 {
    let key = forward_key(headers);
    let known = tables.flow(&key);
    let mut flow = known.unwrap_or_default();
    let flags = if closes(headers) {
        FLOW_CLOSING
    } else if opens(headers) {
        0
    } else {
        flow.flags & FLOW_CLOSING
    };
    let unchanged = known.is_some()
        && flow.source == meeting.source
        && flow.destination == meeting.destination
        && flow.owner == verdict.owner
        && flow.generation == verdict.generation
        && flow.flags == flags
        && !needs_refresh(&flow, meeting.now_ns);
    if unchanged {
        return 0;
    }
    flow.last_seen_ns = meeting.now_ns;
    flow.source = meeting.source;
    flow.destination = meeting.destination;
    flow.owner = verdict.owner;
    flow.generation = verdict.generation;
    flow.rule = verdict.rule;
    flow.flags = flags;
    flow.service = headers.service;
    tables.put_flow(&key, &flow);
    u32::from(known.is_none())
}

#[inline(always)]
fn remember_first_fragment<T: Flows>(tables: &T, headers: &Headers, meeting: &Meeting) {
    if headers.fragment != FRAGMENT_FIRST {
        return;
    }
    let value = FragmentValue {
        next_offset: headers.fragment_end,
        source_port: headers.source_port,
        service: headers.service,
    };
    tables.put_fragment(&fragment_key(headers, meeting.hook), &value);
}

/// The address of the end that is not the tenant: the destination when a tenant initiates.
#[inline(always)]
fn remote_of(source: &Address, destination: &Address, initiator: u32) -> Address {
    if identity::is_tenant(initiator) { *destination } else { *source }
}

#[inline(always)]
const fn closes(headers: &Headers) -> bool {
    headers.protocol == PROTOCOL_TCP && headers.tcp_flags & (TCP_FIN | TCP_RST) != 0
}

/// A SYN: the ports of a closed connection are used again.
#[inline(always)]
const fn opens(headers: &Headers) -> bool {
    headers.protocol == PROTOCOL_TCP && headers.tcp_flags & (TCP_SYN | TCP_ACK) == TCP_SYN
}

/// A later fragment takes the ports of its first, and must start where no earlier one has been.
#[inline(always)]
fn join_fragments<T: Flows>(tables: &T, headers: &mut Headers, hook: u8) -> Result<(), u16> {
    let key = fragment_key(headers, hook);
    let mut value = tables.fragment(&key).ok_or(reason::FRAGMENT_UNTRACKED)?;
    if headers.fragment_offset < value.next_offset {
        return Err(reason::FRAGMENT_OVERLAP);
    }
    value.next_offset = headers.fragment_end;
    tables.put_fragment(&key, &value);
    headers.source_port = value.source_port;
    headers.service = value.service;
    headers.destination_port = match headers.protocol {
        PROTOCOL_TCP | PROTOCOL_UDP | packet::PROTOCOL_SCTP => value.service,
        _ => value.source_port,
    };
    Ok(())
}

#[inline(always)]
const fn fragment_key(headers: &Headers, hook: u8) -> FragmentKey {
    FragmentKey {
        source: headers.source,
        destination: headers.destination,
        id: headers.fragment_id,
        protocol: headers.protocol,
        hook,
        reserved: [0; 2],
    }
}

/// An ICMP error passes when the packet it quotes belongs to a tracked flow that is still allowed, was sent by
/// the one who receives the error, and the error comes from a router or from an end of that flow, not from some
/// other tenant. Answers with the verdict's action.
#[inline(never)]
fn related<T: Tables + Flows, P: Packet + ?Sized>(
    tables: &T,
    packet: &P,
    error: &Headers,
    meeting: &Meeting,
    verdict: &mut Verdict,
) -> u8 {
    *verdict = Verdict::deny(RULE_NO_MATCH, reason::ICMP_ERROR_UNRELATED);
    let mut key = FlowKey::default();
    let quoted = packet::parse_quoted(packet, error, &mut key);
    if quoted.is_none() || error.fragment != FRAGMENT_NONE || !address::same(&key.source, &error.destination)
    {
        return verdict.action;
    }
    let mut flow = tables.flow(&key);
    if flow.is_none() {
        core::mem::swap(&mut key.source, &mut key.destination);
        core::mem::swap(&mut key.source_port, &mut key.destination_port);
        flow = tables.flow(&key);
    }
    if let Some(flow) = flow
        && !is_idle(&flow, key.protocol, meeting.now_ns)
        && is_current(tables, &flow)
        && (!identity::is_tenant(meeting.source)
            || flow.source == meeting.source
            || flow.destination == meeting.source)
    {
        *verdict = Verdict::allow(RULE_RELATED).under(flow.owner, flow.generation);
    }
    verdict.action
}

#[inline(always)]
fn is_current<T: Tables>(tables: &T, flow: &FlowValue) -> bool {
    flow.owner == 0
        || matches!(tables.tenant(flow.owner), Some(slot)
            if slot.flags & SLOT_PRESENT != 0 && slot.generation == flow.generation)
}

/// The workload's own address: one of the two beside its interface, or any that the table gives it.
#[inline(always)]
fn is_own<T: Tables>(tables: &T, interface: &InterfaceValue, address: &Address) -> bool {
    if address::same(address, &interface.v4) || address::same(address, &interface.v6) {
        return !address::is_unspecified(address);
    }
    matches!(tables.address(address), Some(value)
        if value.workload != 0 && value.workload == interface.workload)
}

/// ARP may claim the workload's own address, or none (a probe, RFC 5227).
#[inline(always)]
fn arp_verdict<T: Tables>(tables: &T, interface: &InterfaceValue, sender: &Address) -> Verdict {
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
const fn is_neighbour_discovery(headers: &Headers) -> bool {
    headers.protocol == PROTOCOL_ICMPV6 && matches!(headers.icmp_type(), 130..=137 | MLD_REPORT_V2)
}

/// A workload may ask, and may answer for its own addresses; towards everybody on the link, its own tenant or
/// the node, but not towards another tenant's address. Router messages are not its to send.
#[inline(always)]
fn neighbour_verdict<T: Tables, P: Packet + ?Sized>(
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
const fn arriving_neighbour_verdict(headers: &Headers, tag: u32, tenant: u32) -> Verdict {
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

/// IP-in-IP and GRE hide another packet from every check here.
#[inline(always)]
const fn tunnel_granted(grants: u32, protocol: u8) -> bool {
    match protocol {
        PROTOCOL_IPIP | PROTOCOL_IPV6 => grants & GRANT_IPIP != 0,
        PROTOCOL_GRE => grants & GRANT_GRE != 0,
        _ => true,
    }
}
