//! Open files of gated devices: opened, received, used, let go.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use enforcer_common::device::{
    ACCESS_MKNOD, Asker, DeviceRequest, DeviceTables, KIND_CHAR, decide_gated, gate_of, is_open_to,
};
use enforcer_common::event::{
    HOOK_FILE_FREE, HOOK_FILE_IOCTL, HOOK_FILE_OPEN, HOOK_FILE_PERMISSION, HOOK_FILE_RECEIVE, HOOK_INODE_MKNOD,
    HOOK_MMAP_FILE, HOOK_URING_CMD,
};
use enforcer_common::identity;
use enforcer_common::maps::{
    CounterKey, GateValue, HandleValue, LOST_HANDLE_FULL, SETTING_DEVICE_AUDIT, SLOT_PRESENT, STATE_SCOPE,
};
use enforcer_common::reason;
use enforcer_common::verdict::ALLOW;

use super::offsets::{field, offset};
use super::open_file::{device_of, kind_of, split};
use super::{PASS, Pointer, REFUSE, is_canary, prove};
use crate::account::count;
use crate::device::{asker, tell, touch};
use crate::tables::{HANDLES, Kernel, lose, settings, state};
use crate::tag;

/// The null device, by which the canary tries these hooks (`Documentation/admin-guide/devices.txt`).
const NULL_MAJOR: u32 = 1;
const NULL_MINOR: u32 = 3;

#[lsm(hook = "file_open")]
pub fn file_open(context: LsmContext) -> i32 {
    let file: Pointer = context.arg(0);
    let Some(request) = device_of(file) else { return PASS };
    let Some(judged) = judge(&request, HOOK_FILE_OPEN) else { return PASS };
    if judged.passes != 0 && judged.gated != 0 {
        enter(file, &request, judged.identity);
    }
    judged.answer()
}

#[lsm(hook = "file_receive")]
pub fn file_receive(context: LsmContext) -> i32 {
    let file: Pointer = context.arg(0);
    let Some(request) = device_of(file) else { return PASS };
    if is_the_canarys(&request) {
        prove(HOOK_FILE_RECEIVE);
        return REFUSE;
    }
    if !tag::is_below(state(STATE_SCOPE)) {
        return PASS;
    }
    let tables = Kernel::now();
    let Some(gate) = gate_of(&tables, &request) else { return PASS };
    let asker = asker();
    if is_own(&tables, file, &request, &gate, asker.identity) {
        received(file);
        let key = CounterKey {
            source: asker.identity,
            destination: 0,
            reason: reason::NONE,
            hook: HOOK_FILE_RECEIVE,
            audited: 0,
        };
        count(&key, 0);
        touch(asker.identity, &request);
        return PASS;
    }
    let verdict = decide_gated(&tables, &asker, &gate, &request);
    let verdict = if settings().flags & SETTING_DEVICE_AUDIT != 0 { verdict.audited() } else { verdict };
    tell(&verdict, &gate, &request, asker.identity, HOOK_FILE_RECEIVE);
    if !verdict.passes() {
        return REFUSE;
    }
    if !received(file) {
        enter(file, &request, asker.identity);
    }
    touch(asker.identity, &request);
    PASS
}

#[lsm(hook = "file_permission")]
pub fn file_permission(context: LsmContext) -> i32 {
    used(context.arg(0), HOOK_FILE_PERMISSION)
}

#[lsm(hook = "file_ioctl")]
pub fn file_ioctl(context: LsmContext) -> i32 {
    used(context.arg(0), HOOK_FILE_IOCTL)
}

#[lsm(hook = "file_ioctl_compat")]
pub fn file_ioctl_compat(context: LsmContext) -> i32 {
    used(context.arg(0), HOOK_FILE_IOCTL)
}

#[lsm(hook = "mmap_file")]
pub fn mmap_file(context: LsmContext) -> i32 {
    let file: Pointer = context.arg(0);
    // Anonymous memory has none.
    if file.is_null() {
        return PASS;
    }
    used(file, HOOK_MMAP_FILE)
}

#[lsm(hook = "uring_cmd")]
pub fn uring_cmd(context: LsmContext) -> i32 {
    let command: Pointer = context.arg(0);
    let file = field!(command, uring_cmd_file, Pointer);
    if file.is_null() {
        return PASS;
    }
    used(file, HOOK_URING_CMD)
}

#[lsm(hook = "inode_mknod")]
pub fn inode_mknod(context: LsmContext) -> i32 {
    let (mode, number): (u32, u32) = (context.arg(2), context.arg(3));
    let Some(kind) = kind_of(mode as u16) else { return PASS };
    let (major, minor) = split(number);
    let request = DeviceRequest { kind, major, minor, access: ACCESS_MKNOD };
    judge(&request, HOOK_INODE_MKNOD).map_or(PASS, |judged| judged.answer())
}

/// Nothing refers to the file any more.
#[lsm(hook = "file_free_security")]
pub fn file_free(context: LsmContext) -> i32 {
    let file: u64 = context.arg(0);
    // Looked for first: this is every file of the node, and looking takes no lock.
    // SAFETY: the entry is not read.
    if unsafe { HANDLES.get(file) }.is_some() {
        let _ = HANDLES.remove(file);
    }
    if is_canary() {
        prove(HOOK_FILE_FREE);
    }
    PASS
}

/// What was decided on a device.
#[repr(C)]
struct Judged {
    identity: u32,
    passes: u32,
    /// 0 for the canary's device.
    gated: u32,
}

impl Judged {
    #[inline(always)]
    const fn answer(&self) -> i32 {
        if self.passes != 0 { PASS } else { REFUSE }
    }
}

#[inline(always)]
fn used(file: Pointer, hook: u8) -> i32 {
    let Some(request) = device_of(file) else { return PASS };
    judge(&request, hook).map_or(PASS, |judged| judged.answer())
}

/// The verdict on the current process and a device; `None` where the device is not gated, or the process not below the
/// control group that is this wall's: the kernel calls these hooks for the whole machine. What is allowed was told when
/// the device was opened or received.
#[inline(always)]
fn judge(request: &DeviceRequest, hook: u8) -> Option<Judged> {
    if is_the_canarys(request) {
        prove(hook);
        return Some(Judged { identity: identity::CANARY, passes: 0, gated: 0 });
    }
    if !tag::is_below(state(STATE_SCOPE)) {
        return None;
    }
    let tables = Kernel::now();
    let gate = gate_of(&tables, request)?;
    let asker: Asker = asker();
    let verdict = decide_gated(&tables, &asker, &gate, request);
    let verdict = if settings().flags & SETTING_DEVICE_AUDIT != 0 { verdict.audited() } else { verdict };
    if verdict.action != ALLOW {
        tell(&verdict, &gate, request, asker.identity, hook);
    }
    Some(Judged { identity: asker.identity, passes: u32::from(verdict.passes()), gated: 1 })
}

/// The null device, and the canary is at work, and this is it.
#[inline(always)]
fn is_the_canarys(request: &DeviceRequest) -> bool {
    request.kind == KIND_CHAR
        && request.major == NULL_MAJOR
        && request.minor == NULL_MINOR
        && is_canary()
}

/// The tenant's own file, opened under the grants that still hold, and the device was not closed since.
#[inline(always)]
fn is_own(tables: &Kernel, file: Pointer, request: &DeviceRequest, gate: &GateValue, who: u32) -> bool {
    if !identity::is_tenant(who) {
        return false;
    }
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    let Some(held) = (unsafe { HANDLES.get(file as u64) }) else { return false };
    let present = |slot: &enforcer_common::maps::TenantSlot| {
        slot.flags & SLOT_PRESENT != 0 && slot.generation == held.generation
    };
    held.identity == who
        && DeviceTables::tenant(tables, who).as_ref().is_some_and(present)
        && is_open_to(tables, who, gate, request)
}

/// Counts a receipt; false where the file is in no account.
#[inline(always)]
fn received(file: Pointer) -> bool {
    let Some(held) = HANDLES.get_ptr_mut(file as u64) else { return false };
    // SAFETY: the value is the map's. Two processors may race here: the number is for people.
    unsafe { (*held).receipts = (*held).receipts.wrapping_add(1) };
    true
}

/// Enters an open file into the account.
#[inline(never)]
fn enter(file: Pointer, request: &DeviceRequest, who: u32) {
    let generation = if identity::is_tenant(who) {
        DeviceTables::tenant(&Kernel::now(), who).map_or(0, |slot| slot.generation)
    } else {
        0
    };
    // SAFETY: the helpers take no argument.
    let value = unsafe {
        HandleValue {
            opened_ns: bpf_ktime_get_boot_ns(),
            cgroup: bpf_get_current_cgroup_id(),
            kind: request.kind,
            major: request.major,
            minor: request.minor,
            identity: who,
            generation,
            process: (bpf_get_current_pid_tgid() >> 32) as u32,
            access: request.access,
            receipts: 0,
        }
    };
    if HANDLES.insert(file as u64, value, 0).is_err() {
        lose(who, LOST_HANDLE_FULL);
    }
}
