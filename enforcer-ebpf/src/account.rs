//! Counting and telling: exact counters for every verdict, events for refusals and for the first packet of
//! each allowed flow. Enforcement never waits for either.

use core::hint::black_box;

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_skb_load_bytes};
use enforcer_common::event::{
    Event, Header, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED, PACKET_BYTES_MAX, PacketEvent,
};
use enforcer_common::maps::{CounterKey, CounterValue, LOST_COUNTER_FULL, STATE_REVISION};
use enforcer_common::packet::Headers;
use enforcer_common::verdict::{ALLOW, AUDIT, DENY};
use enforcer_common::wall::Judgement;

use crate::memo;
use crate::packet::Skb;
use crate::tables::{COUNTERS, TELLING, lose, state};
use crate::tell::{Channel, room, submit};

/// Where a verdict was made, and on behalf of whom.
#[derive(Clone, Copy)]
pub struct Place {
    pub hook: u8,
    pub interface: u32,
    pub bytes: u32,
    /// Where the network header is, in a packet.
    pub network: u32,
    pub cgroup: u64,
    pub cookie: u64,
}

/// Counts a verdict, and tells of it when it is worth telling; `skb` is null where there is no packet. A function of its own, for the stack; it returns
/// whether the verdict passes, since the verifier wants a number in its return register.
///
/// `IN_PROCESS` is true where the hook runs in the context of the process that asked. It is no value, because
/// kernels up to 6.12 at least refuse packet programs in which they cannot rule out the call for a process's name.
#[inline(never)]
pub fn account<const IN_PROCESS: bool>(
    judgement: &Judgement,
    headers: &Headers,
    place: &Place,
    now_ns: u64,
    skb: *mut __sk_buff,
) -> u32 {
    let verdict = &judgement.verdict;
    let key = CounterKey {
        source: judgement.source,
        destination: judgement.destination,
        reason: verdict.reason,
        hook: place.hook,
        audited: (verdict.action == AUDIT) as u8,
    };
    count(&key, place.bytes);
    let first_audit = verdict.action == AUDIT && (judgement.opened != 0 || IN_PROCESS);
    let shadowed = judgement.opened != 0 && verdict.shadow_action != ALLOW;
    if verdict.action == DENY || first_audit || shadowed {
        tell_refused::<IN_PROCESS>(judgement, headers, place, now_ns, skb);
    } else if judgement.opened != 0 {
        tell_allowed::<IN_PROCESS>(judgement, headers, place, now_ns);
    }
    u32::from(verdict.passes())
}

#[inline(always)]
pub fn count(key: &CounterKey, bytes: u32) {
    if let Some(counter) = COUNTERS.get_ptr_mut(key) {
        // SAFETY: the value is this processor's own.
        unsafe {
            (*counter).packets += 1;
            (*counter).bytes += u64::from(bytes);
        }
        return;
    }
    let first = CounterValue { packets: 1, bytes: u64::from(bytes) };
    if COUNTERS.insert(key, first, 0).is_err() {
        lose(key.source, LOST_COUNTER_FULL);
    }
}

/// Tells of the first packet of an allowed flow.
#[inline(always)]
fn tell_allowed<const IN_PROCESS: bool>(
    judgement: &Judgement,
    headers: &Headers,
    place: &Place,
    now_ns: u64,
) {
    let channel = Channel::Sample;
    let Some(mut entry) = room::<Event>(channel, KIND_FLOW_ALLOWED, judgement.source, now_ns) else { return };
    // SAFETY: the reservation is as large as an event.
    unsafe { fill::<IN_PROCESS>(entry.as_mut_ptr(), judgement, headers, place) };
    submit(channel, entry);
}

/// Tells of a refusal, with the packet's first bytes where there is a packet and somebody wants them.
#[inline(always)]
fn tell_refused<const IN_PROCESS: bool>(
    judgement: &Judgement,
    headers: &Headers,
    place: &Place,
    now_ns: u64,
    skb: *mut __sk_buff,
) {
    let channel = Channel::Security;
    let wanted = TELLING.get(0).map_or(0, |telling| telling.packet_bytes);
    if skb.is_null() || wanted == 0 {
        let room = room::<Event>(channel, KIND_FLOW_REFUSED, judgement.source, now_ns);
        let Some(mut entry) = room else { return };
        // SAFETY: the reservation is as large as an event.
        unsafe { fill::<IN_PROCESS>(entry.as_mut_ptr(), judgement, headers, place) };
        submit(channel, entry);
        return;
    }
    let room = room::<PacketEvent>(channel, KIND_FLOW_REFUSED, judgement.source, now_ns);
    let Some(mut entry) = room else { return };
    let packet = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event with a packet, and every field is written.
    unsafe {
        fill::<IN_PROCESS>(&raw mut (*packet).event, judgement, headers, place);
        capture(packet, &Skb(skb), place.network, wanted);
    }
    submit(channel, entry);
}

/// The packet's first bytes, from its network header on.
///
/// # Safety
/// `packet` points to room for an event with a packet.
#[inline(always)]
unsafe fn capture(packet: *mut PacketEvent, skb: &Skb, network: u32, wanted: u32) {
    const MOST: u32 = PACKET_BYTES_MAX as u32;
    let offset = network + skb.vlan_bytes(network);
    let length = skb.len().saturating_sub(offset);
    let most = if wanted > MOST { MOST } else { wanted };
    let captured = if length > most { most } else { length };
    // SAFETY: the caller's promise; the helper writes so many bytes, or zeroes.
    unsafe {
        core::ptr::write_bytes((&raw mut (*packet).bytes).cast::<u64>(), 0, PACKET_BYTES_MAX / 8);
        (*packet).length = length;
        (*packet).captured = 0;
        if captured == 0 {
            return;
        }
        // The compiler knows that this changes nothing; the verifier does not, and wants between 1 and all.
        let captured = (black_box(captured - 1) & (MOST - 1)) + 1;
        if bpf_skb_load_bytes(skb.0.cast(), offset, (&raw mut (*packet).bytes).cast(), captured) == 0 {
            (*packet).captured = captured;
        }
    }
}

/// Writes a decision on a packet or a call.
///
/// # Safety
/// `event` points to room for an event.
#[inline(always)]
unsafe fn fill<const IN_PROCESS: bool>(
    event: *mut Event,
    judgement: &Judgement,
    headers: &Headers,
    place: &Place,
) {
    let verdict = &judgement.verdict;
    // SAFETY: the caller's promise.
    unsafe {
        describe::<IN_PROCESS>(event, place);
        if place.cookie == 0
            && let Some(owner) = memo::owner(headers, judgement.source)
        {
            (*event).cookie = owner.cookie;
            (*event).cgroup = owner.cgroup;
            (*event).process = owner.process;
        }
        (*event).source = headers.source;
        (*event).destination = headers.destination;
        (*event).source_identity = judgement.source;
        (*event).destination_identity = judgement.destination;
        (*event).rule = verdict.rule;
        (*event).shadow_rule = verdict.shadow_rule;
        (*event).source_port = headers.source_port;
        (*event).destination_port = headers.service;
        (*event).reason = verdict.reason;
        (*event).protocol = headers.protocol;
        (*event).action = verdict.action;
        (*event).shadow_action = verdict.shadow_action;
        (*event).tcp_flags = headers.tcp_flags;
    }
}

/// Writes what every decision has, and zero into the rest behind its header.
///
/// # Safety
/// `event` points to room for an event.
#[inline(always)]
pub unsafe fn describe<const IN_PROCESS: bool>(event: *mut Event, place: &Place) {
    // SAFETY: the caller's promise.
    unsafe {
        let rest = event.cast::<u8>().add(size_of::<Header>());
        core::ptr::write_bytes(rest.cast::<u64>(), 0, (size_of::<Event>() - size_of::<Header>()) / 8);
        (*event).revision = state(STATE_REVISION);
        (*event).cgroup = place.cgroup;
        (*event).cookie = place.cookie;
        (*event).interface = place.interface;
        (*event).hook = place.hook;
        if IN_PROCESS {
            (*event).process = (bpf_get_current_pid_tgid() >> 32) as u32;
            bpf_get_current_comm((&raw mut (*event).command).cast(), 16);
        }
    }
}
