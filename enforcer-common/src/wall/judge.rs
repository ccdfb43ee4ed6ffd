//! A flow between two identified ends: its fragments, the flow it answers or is about, the decision, and what is
//! remembered of it.

use super::Judgement;
use super::party::Meeting;
use crate::address::{self, Address};
use crate::event::{HOOK_FROM_WORKLOAD, HOOK_TO_WORKLOAD};
use crate::flow::{Flows, forward_key, is_idle, needs_refresh, reverse_key};
use crate::identity;
use crate::maps::{
    FLOW_CLOSING, FlowKey, FlowValue, FragmentKey, FragmentValue, RULE_NO_MATCH, RULE_RELATED, RULE_TUNNEL,
    SLOT_AUDIT, SLOT_PRESENT,
};
use crate::packet::{
    self, FRAGMENT_FIRST, FRAGMENT_LATER, FRAGMENT_NONE, Headers, PROTOCOL_TCP, PROTOCOL_UDP, Packet,
    TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN,
};
use crate::policy::{Question, Tables, decide};
use crate::reason;
use crate::verdict::Verdict;

/// A flow between two identified ends. The parts are functions of their own in the kernel, one after the other
/// and never nested: its stack has 512 bytes for all that are active at once.
#[inline(always)]
pub(super) fn judge<T: Tables + Flows, P: Packet + ?Sized>(
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
            same_node: meeting.same_node,
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
        if case.verdict.rule == RULE_TUNNEL && next == AS_FORWARD && meeting.attended == 0 {
            case.verdict.action = unattended(tables, &mut case.verdict);
        }
    }
    if next != SETTLED && case.verdict.passes() {
        opened = remember(tables, headers, meeting, &case.verdict, next);
        if opened > OPENED {
            case.verdict = Verdict::deny(RULE_NO_MATCH, (opened & 0xffff) as u16);
            opened = 0;
        }
    }
    Judgement {
        verdict: case.verdict,
        source: meeting.source,
        destination: meeting.destination,
        tag: 0,
        opened,
    }
}

/// What [`remember`] says of a flow that is new. A larger number is the drop reason of a response, which refuses it.
const OPENED: u32 = 1;

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

/// A tunnel's connection to where no agent looks at what it carries: refused, as any plaintext there is. Answers with
/// the verdict's action.
#[inline(never)]
fn unattended<T: Tables>(tables: &T, verdict: &mut Verdict) -> u8 {
    let refused = Verdict::deny(RULE_TUNNEL, reason::MTLS_REQUIRED).under(verdict.owner, verdict.generation);
    let audit = matches!(tables.tenant(verdict.owner), Some(slot) if slot.flags & SLOT_AUDIT != 0);
    *verdict = if audit { refused.audited() } else { refused };
    verdict.action
}

/// Remembers the flow of a packet that was decided and may pass: [`OPENED`] when the flow is new, the drop reason
/// when a response refuses a new flow.
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

/// A flow in its forward direction, as for [`remember`].
#[inline(always)]
fn track<T: Flows>(tables: &T, headers: &Headers, meeting: &Meeting, verdict: &Verdict) -> u32 {
    let key = forward_key(headers);
    let known = tables.flow(&key);
    let mut flow = known.unwrap_or_default();
    if begins(headers, known.as_ref(), meeting) {
        let refused = tables.response(meeting.source, meeting.now_ns);
        if refused != reason::NONE {
            return u32::from(refused);
        }
    }
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

/// True for a packet that opens a flow: there is none, it was quiet for too long, or a connection begins on its ports.
/// A tenant's own hook says so; where its packets arrive they were asked already.
#[inline(always)]
fn begins(headers: &Headers, known: Option<&FlowValue>, meeting: &Meeting) -> bool {
    meeting.hook != HOOK_TO_WORKLOAD
        && identity::is_tenant(meeting.source)
        && match known {
            None => true,
            Some(flow) => opens(headers) || is_idle(flow, headers.protocol, meeting.now_ns),
        }
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
