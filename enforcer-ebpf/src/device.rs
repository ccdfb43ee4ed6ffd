//! The device gate: every open and mknod on the node. What it tells, and whom it remembers, serves the hooks on open
//! files too.

use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_ktime_get_boot_ns, bpf_ktime_get_ns,
};
use aya_ebpf::macros::cgroup_device;
use aya_ebpf::programs::DeviceContext;
use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE, Asker, DeviceRequest, decide_device};
use enforcer_common::event::{Event, HOOK_DEVICE, KIND_DEVICE_ALLOWED, KIND_DEVICE_REFUSED};
use enforcer_common::identity;
use enforcer_common::maps::{
    CounterKey, GateValue, LOST_TOUCH_FULL, SETTING_DEVICE_AUDIT, TouchKey, TouchValue,
};
use enforcer_common::verdict::{ALLOW, AUDIT, Verdict};

use crate::account::{Place, count, describe};
use crate::tables::{Kernel, NO_EXIST, TOUCHED, lose, settings};
use crate::tag;
use crate::tell::{Channel, room, submit};

const PASS: i32 = 1;
const REFUSE: i32 = 0;

#[cgroup_device]
pub fn device_gate(context: DeviceContext) -> i32 {
    // SAFETY: the verifier allows these fields of the context.
    let (access, major, minor) =
        unsafe { ((*context.device).access_type, (*context.device).major, (*context.device).minor) };
    let request = DeviceRequest { kind: access & 0xffff, major, minor, access: access >> 16 };
    let Some((verdict, asker, gate)) = decide_device(&Kernel::now(), asker, &request) else {
        return PASS;
    };
    let verdict = if settings().flags & SETTING_DEVICE_AUDIT != 0 { verdict.audited() } else { verdict };
    tell(&verdict, &gate, &request, asker.identity, HOOK_DEVICE);
    if !verdict.passes() {
        return REFUSE;
    }
    if request.access & (ACCESS_READ | ACCESS_WRITE) != 0 {
        touch(asker.identity, &request);
    }
    PASS
}

/// Who asks: the tenant or host service of the current process.
#[inline(always)]
pub fn asker() -> Asker {
    let tag = tag::of_current();
    let identity = if tag.identity == identity::HOST { identity::UNKNOWN } else { tag.identity };
    Asker { identity, in_root: u32::from(in_root()) }
}

/// True for a task directly in the root of the hierarchy.
#[inline(always)]
fn in_root() -> bool {
    // SAFETY: the helpers take no pointer.
    unsafe { bpf_get_current_cgroup_id() == bpf_get_current_ancestor_cgroup_id(0) }
}

/// Remembers that the current process's group was let through to a device. A function of its own, for the stack.
#[inline(never)]
pub fn touch(who: u32, request: &DeviceRequest) {
    // SAFETY: the helpers take no argument.
    let (cgroup, first_ns) = unsafe { (bpf_get_current_cgroup_id(), bpf_ktime_get_boot_ns()) };
    let key = TouchKey {
        cgroup,
        kind: request.kind,
        major: request.major,
        minor: request.minor,
        reserved: 0,
    };
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    if unsafe { TOUCHED.get(key) }.is_some() {
        return;
    }
    let value = TouchValue { first_ns, identity: who, reserved: 0 };
    // Another processor may have been faster: then it is there.
    // SAFETY: as above.
    if TOUCHED.insert(key, value, NO_EXIST).is_err() && unsafe { TOUCHED.get(key) }.is_none() {
        lose(who, LOST_TOUCH_FULL);
    }
}

/// Counts a verdict on a device and tells of it. A function of its own, for the stack.
#[inline(never)]
pub fn tell(verdict: &Verdict, gate: &GateValue, request: &DeviceRequest, who: u32, hook: u8) {
    let key = CounterKey {
        source: who,
        destination: 0,
        reason: verdict.reason,
        hook,
        audited: (verdict.action == AUDIT) as u8,
    };
    count(&key, 0);
    // SAFETY: the helpers take no argument.
    let (now_ns, cgroup) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_cgroup_id()) };
    let kind = if verdict.action == ALLOW { KIND_DEVICE_ALLOWED } else { KIND_DEVICE_REFUSED };
    let Some(mut entry) = room::<Event>(Channel::Device, kind, who, now_ns) else { return };
    let place = Place { hook, interface: 0, bytes: 0, network: 0, cgroup, cookie: 0 };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event, and every field is written before it is submitted.
    unsafe {
        describe::<true>(event, &place);
        (*event).source_identity = who;
        (*event).rule = verdict.rule;
        (*event).reason = verdict.reason;
        (*event).action = verdict.action;
        (*event).shadow_action = verdict.shadow_action;
        (*event).major = request.major;
        (*event).minor = request.minor;
        (*event).class = gate.class;
        (*event).access = request.access as u8;
        (*event).device_kind = request.kind as u8;
    }
    submit(Channel::Device, entry);
}
