//! Counting and telling: exact counters for every verdict, events for refusals and for the first packet of
//! each allowed flow. Enforcement never waits for either.

use aya_ebpf::bindings::{BPF_RB_AVAIL_DATA, BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns};
use aya_ebpf::maps::RingBuf;
use enforcer_common::event::{Event, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED};
use enforcer_common::identity;
use enforcer_common::maps::{
    BucketValue, CounterKey, CounterValue, LOST_COUNTER_FULL, LOST_EVENT_FULL, LOST_EVENT_RATE,
    LOST_SAMPLE_FULL, STATE_REVISION,
};
use enforcer_common::packet::Headers;
use enforcer_common::verdict::{ALLOW, AUDIT, DENY};
use enforcer_common::wall::Judgement;

use crate::tables::{BUCKETS, COUNTERS, EVENTS, SAMPLES, lose, state};

/// Security events a tenant may cause per second before the rest of that second's are only counted.
const EVENTS_PER_SECOND: u64 = 2_000;
/// Events it may cause at once.
const BURST: u64 = 2_000;
const NS_PER_TOKEN: u64 = 1_000_000_000 / EVENTS_PER_SECOND;

/// Bytes of samples that may wait for their reader's next look.
const SAMPLES_WAITING: u64 = 128 * 1024;

/// What a sample takes in the ring, with the ring's own header of eight bytes.
const SAMPLE_BYTES: u64 = size_of::<Event>() as u64 + 8;

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
        if admit(bucket_of(judgement.source), now_ns) {
            emit(true, judgement, headers, place);
        } else {
            lose(LOST_EVENT_RATE);
        }
    } else if judgement.opened != 0 {
        emit(false, judgement, headers, place);
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
        lose(LOST_COUNTER_FULL);
    }
}

/// The bucket of a source. Identities that are no tenant share one.
#[inline(always)]
pub fn bucket_of(source: u32) -> u32 {
    if identity::is_tenant(source) { source } else { identity::UNKNOWN }
}

/// Takes a token from a bucket.
#[inline(always)]
pub fn admit(owner: u32, now_ns: u64) -> bool {
    let Some(bucket) = BUCKETS.get_ptr_mut(owner) else {
        let full = BucketValue { filled_ns: now_ns, tokens: BURST - 1 };
        return BUCKETS.insert(owner, full, 0).is_ok();
    };
    // SAFETY: two processors may race here; a token counted twice or lost is within what a rate means.
    unsafe {
        let earned = now_ns.saturating_sub((*bucket).filled_ns) / NS_PER_TOKEN;
        if earned > 0 {
            let tokens = (*bucket).tokens + earned;
            (*bucket).tokens = if tokens > BURST { BURST } else { tokens };
            (*bucket).filled_ns = now_ns;
        }
        if (*bucket).tokens == 0 {
            return false;
        }
        (*bucket).tokens -= 1;
    }
    true
}

/// Writes an event into the ring of refusals or into that of samples.
#[inline(always)]
fn emit(refused: bool, judgement: &Judgement, headers: &Headers, place: &Place) {
    let (ring, kind, loss): (&RingBuf, u16, u32) = if refused {
        (&EVENTS, KIND_FLOW_REFUSED, LOST_EVENT_FULL)
    } else {
        (&SAMPLES, KIND_FLOW_ALLOWED, LOST_SAMPLE_FULL)
    };
    let Some(mut entry) = ring.reserve::<Event>(0) else {
        lose(loss);
        return;
    };
    let verdict = &judgement.verdict;
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event, and every field is written before it is submitted.
    unsafe {
        describe(event, kind, place);
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
    }
    entry.submit(if refused { 0 } else { sample_wakeup(ring) });
}

/// Samples wake their reader once, when a good part of their ring is full; it looks at them often enough besides,
/// and a connection should not wait for that.
#[inline(always)]
fn sample_wakeup(ring: &RingBuf) -> u64 {
    let waiting = ring.query(u64::from(BPF_RB_AVAIL_DATA));
    if waiting > SAMPLES_WAITING && waiting <= SAMPLES_WAITING + SAMPLE_BYTES {
        u64::from(BPF_RB_FORCE_WAKEUP)
    } else {
        u64::from(BPF_RB_NO_WAKEUP)
    }
}

/// Writes what every event has, and zero into the rest.
///
/// # Safety
/// `event` points to room for an event.
#[inline(always)]
pub unsafe fn describe(event: *mut Event, kind: u16, place: &Place) {
    // SAFETY: the caller's promise.
    unsafe {
        core::ptr::write_bytes(event, 0, 1);
        (*event).boot_ns = bpf_ktime_get_boot_ns();
        (*event).revision = state(STATE_REVISION);
        (*event).cgroup = place.cgroup;
        (*event).cookie = place.cookie;
        (*event).interface = place.interface;
        (*event).kind = kind;
        (*event).hook = place.hook;
        if place.in_process != 0 {
            (*event).process = (bpf_get_current_pid_tgid() >> 32) as u32;
            bpf_get_current_comm((&raw mut (*event).command).cast(), 16);
        }
    }
}
