//! The account of open files of gated devices.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_ktime_get_boot_ns,
};
use enforcer_common::device::DeviceRequest;
use enforcer_common::event::HOOK_FILE_RECEIVE;
use enforcer_common::identity;
use enforcer_common::maps::{
    CUSTODY_OPEN, CounterKey, CustodyKey, HandleValue, LOST_HANDLE_FULL, SLOT_PRESENT,
};
use enforcer_common::policy::Tables;
use enforcer_common::reason;

use super::proof;
use crate::account::count;
use crate::tables::{CUSTODY, HANDLES, Kernel, lose};
use crate::tag;

/// A file was opened, and enters the account.
#[inline(never)]
pub fn opened(file: u64, who: u32, request: &DeviceRequest) -> u32 {
    // SAFETY: the helpers take no argument.
    let (opened_ns, cgroup, both) =
        unsafe { (bpf_ktime_get_boot_ns(), bpf_get_current_cgroup_id(), bpf_get_current_pid_tgid()) };
    let value = HandleValue {
        opened_ns,
        cgroup,
        kind: request.kind,
        major: request.major,
        minor: request.minor,
        identity: who,
        generation: generation_of(who),
        process: (both >> 32) as u32,
        access: request.access,
        receipts: 0,
    };
    if HANDLES.insert(file, value, 0).is_err() {
        lose(who, LOST_HANDLE_FULL);
    }
    0
}

/// A file was received. One that is older than the account enters it now.
#[inline(always)]
pub fn received(file: u64, who: u32, request: &DeviceRequest) {
    match HANDLES.get_ptr_mut(file) {
        // SAFETY: the value is the map's; a receipt counted twice or lost is only less exact.
        Some(handle) => unsafe { (*handle).receipts = (*handle).receipts.wrapping_add(1) },
        None => drop(opened(file, who, request)),
    }
}

/// The fast path of a receipt: the file was opened on behalf of the receiver's tenant under the very policy that is in force
/// for it, and the device is not closed. The answer cannot be another, and collectives pass thousands of files.
#[inline(always)]
pub fn is_within_its_tenant(file: u64, request: &DeviceRequest) -> bool {
    let Some(handle) = HANDLES.get_ptr_mut(file) else { return false };
    let receiver = tag::of_current().identity;
    // SAFETY: the value is the map's.
    let (opener, generation) = unsafe { ((*handle).identity, (*handle).generation) };
    if receiver != opener || !identity::is_tenant(opener) || generation == 0 {
        return false;
    }
    let key = CustodyKey { kind: request.kind, major: request.major, minor: request.minor };
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    if let Some(custody) = unsafe { CUSTODY.get(key) }
        && (custody.state != CUSTODY_OPEN || (custody.owner != identity::UNKNOWN && custody.owner != opener))
    {
        return false;
    }
    if generation_of(opener) != generation {
        return false;
    }
    let key = CounterKey {
        source: opener,
        destination: opener,
        reason: reason::NONE,
        hook: HOOK_FILE_RECEIVE,
        audited: 0,
    };
    count(&key, 0);
    // SAFETY: as above; a receipt counted twice or lost is only less exact.
    unsafe { (*handle).receipts = (*handle).receipts.wrapping_add(1) };
    true
}

/// Nothing refers to a file any more.
#[inline(always)]
pub fn freed(file: u64, hook: u8) {
    proof::seen(hook);
    let _was_none_of_ours = HANDLES.remove(file);
}

/// The generation in force of a tenant; 0 for none, and for host services.
#[inline(always)]
fn generation_of(who: u32) -> u32 {
    if !identity::is_tenant(who) {
        return 0;
    }
    match Tables::tenant(&Kernel::now(), who) {
        Some(slot) if slot.flags & SLOT_PRESENT != 0 => slot.generation,
        _ => 0,
    }
}
