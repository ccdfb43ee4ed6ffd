//! Counting and telling: exact counters for every verdict, events for refusals and for the first packet of
//! each allowed flow. Enforcement never waits for either.

use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use enforcer_common::event::{Event, Header, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED};
use enforcer_common::maps::{CounterKey, CounterValue, LOST_COUNTER_FULL, STATE_REVISION};
use enforcer_common::packet::Headers;
use enforcer_common::verdict::{ALLOW, AUDIT, DENY};
use enforcer_common::wall::Judgement;

use crate::tables::{COUNTERS, lose, state};
use crate::tell::{Channel, room, submit};

/// Where a verdict was made, and on behalf of whom.
#[derive(Clone, Copy)]
pub struct Place {
    pub hook: u8,
    pub interface: u32,
    pub bytes: u32,
    pub cgroup: u64,
    pub cookie: u64,
    /// 1 where the hook runs in the context of the process that asked.
    pub in_process: u32,
}

/// Counts a verdict, and tells of it when it is worth telling. A function of its own, for the stack; it returns
/// whether the verdict passes, since the verifier wants a number in its return register.
#[inline(never)]
pub fn account(judgement: &Judgement, headers: &Headers, place: &Place, now_ns: u64) -> u32 {
    let verdict = &judgement.verdict;
    let key = CounterKey {
        source: judgement.source,
        destination: judgement.destination,
        reason: verdict.reason,
        hook: place.hook,
        audited: (verdict.action == AUDIT) as u8,
    };
    count(&key, place.bytes);
    let first_audit = verdict.action == AUDIT && (judgement.opened != 0 || place.in_process != 0);
    let shadowed = judgement.opened != 0 && verdict.shadow_action != ALLOW;
    if verdict.action == DENY || first_audit || shadowed {
        emit(true, judgement, headers, place, now_ns);
    } else if judgement.opened != 0 {
        emit(false, judgement, headers, place, now_ns);
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

/// Writes an event into the ring of refusals or into that of samples.
#[inline(always)]
fn emit(refused: bool, judgement: &Judgement, headers: &Headers, place: &Place, now_ns: u64) {
    let (channel, kind) =
        if refused { (Channel::Security, KIND_FLOW_REFUSED) } else { (Channel::Sample, KIND_FLOW_ALLOWED) };
    let Some(mut entry) = room::<Event>(channel, kind, judgement.source, now_ns) else { return };
    let verdict = &judgement.verdict;
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event, and every field is written before it is submitted.
    unsafe {
        describe(event, place);
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
    submit(channel, entry);
}

/// Writes what every decision has, and zero into the rest behind its header.
///
/// # Safety
/// `event` points to room for an event.
#[inline(always)]
pub unsafe fn describe(event: *mut Event, place: &Place) {
    // SAFETY: the caller's promise.
    unsafe {
        let rest = event.cast::<u8>().add(size_of::<Header>());
        core::ptr::write_bytes(rest.cast::<u64>(), 0, (size_of::<Event>() - size_of::<Header>()) / 8);
        (*event).revision = state(STATE_REVISION);
        (*event).cgroup = place.cgroup;
        (*event).cookie = place.cookie;
        (*event).interface = place.interface;
        (*event).hook = place.hook;
        if place.in_process != 0 {
            (*event).process = (bpf_get_current_pid_tgid() >> 32) as u32;
            bpf_get_current_comm((&raw mut (*event).command).cast(), 16);
        }
    }
}
