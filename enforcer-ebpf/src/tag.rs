//! Who a process or a socket belongs to: the nearest known control group among its ancestors.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_probe_read_kernel, bpf_sk_storage_get,
};
use aya_ebpf::macros::btf_map;
use enforcer_common::identity;
use enforcer_common::maps::{CGROUP_LEVELS, STATE_CGROUPS, SocketTag};

use crate::lsm::offsets::offset;
use crate::tables::{CGROUPS, state};

const LEVELS: i32 = CGROUP_LEVELS as i32;
const STORAGE_CREATE: u64 = 1;

#[btf_map]
pub static SOCKETS: SkStorage<SocketTag> = SkStorage::new();

/// The tag of the nearest known group: `leaf` itself, or else an ancestor; `HOST` when none is known. `id_at` gives
/// the cgroup id at a level below the root, zero beyond the deepest.
#[inline(always)]
pub fn recognise(leaf: u64, id_at: impl Fn(i32) -> u64) -> SocketTag {
    let mut tag = SocketTag {
        cgroup: 0,
        identity: identity::HOST,
        flags: 0,
        version: state(STATE_CGROUPS) as u32,
        reserved: 0,
    };
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    if let Some(value) = unsafe { CGROUPS.get(leaf) } {
        tag.cgroup = leaf;
        tag.identity = value.identity;
        tag.flags = value.flags;
        return tag;
    }
    let mut level = 0;
    while level < LEVELS {
        let id = id_at(level);
        if id == 0 {
            break;
        }
        // SAFETY: values of a map without preallocation are freed only after a grace period.
        if let Some(value) = unsafe { CGROUPS.get(id) } {
            tag.cgroup = id;
            tag.identity = value.identity;
            tag.flags = value.flags;
        }
        level += 1;
    }
    tag
}

/// Whether the current process is below a control group.
#[inline(always)]
pub fn is_below(group: u64) -> bool {
    // SAFETY: the helpers take no pointer, and any level.
    unsafe {
        if bpf_get_current_ancestor_cgroup_id(0) == group {
            return group != 0;
        }
        let mut level = 1;
        while level < LEVELS {
            let id = bpf_get_current_ancestor_cgroup_id(level);
            if id == 0 || id == group {
                return id != 0;
            }
            level += 1;
        }
    }
    false
}

/// The tag of the current process.
#[inline(always)]
pub fn of_current() -> SocketTag {
    // SAFETY: the helpers take no pointer, and any level.
    unsafe { recognise(bpf_get_current_cgroup_id(), |level| bpf_get_current_ancestor_cgroup_id(level)) }
}

/// The group of a task, and the tenant or host service of the nearest known one among it and its ancestors; `HOST` when
/// none is known. A control group's state is its first member, so that a parent's state is the parent.
#[inline(always)]
pub fn of_task(task: u64) -> (u64, u32) {
    let mut group = read(read(task, offset!(task_cgroups)), offset!(css_set_cgroup));
    let leaf = read(read(group, offset!(cgroup_kn)), offset!(kn_id));
    let mut level = 0;
    while level <= LEVELS && group != 0 {
        let id = read(read(group, offset!(cgroup_kn)), offset!(kn_id));
        // SAFETY: values of a map without preallocation are freed only after a grace period.
        if let Some(value) = unsafe { CGROUPS.get(id) } {
            return (leaf, value.identity);
        }
        group = read(group, offset!(css_parent));
        level += 1;
    }
    (leaf, identity::HOST)
}

/// The word at a place in the kernel's memory; 0 where it cannot be read.
#[inline(always)]
pub fn read(base: u64, offset: u32) -> u64 {
    if base == 0 {
        return 0;
    }
    let mut value = 0_u64;
    // SAFETY: the helper reads any address, or fails; it writes as many bytes as the value has.
    let failed = unsafe {
        bpf_probe_read_kernel(
            (&raw mut value).cast(),
            8,
            (base + u64::from(offset)) as *const core::ffi::c_void,
        )
    };
    if failed == 0 { value } else { 0 }
}

/// The tag kept with a socket. One made under an earlier version of the cgroup table is looked up again by its
/// group; `None` when that is no one's any more, or when there is no tag.
#[inline(always)]
pub fn kept(socket: *mut bpf_sock) -> Option<SocketTag> {
    // SAFETY: the verifier checks that `socket` is a socket.
    let kept = unsafe { bpf_sk_storage_get(storage(), socket.cast(), core::ptr::null_mut(), 0) };
    let kept = kept.cast::<SocketTag>();
    if kept.is_null() {
        return None;
    }
    // SAFETY: the kernel's storage holds one tag.
    let mut tag = unsafe { *kept };
    let version = state(STATE_CGROUPS) as u32;
    if tag.version == version {
        return Some(tag);
    }
    // SAFETY: values of a map without preallocation are freed only after a grace period.
    let value = unsafe { CGROUPS.get(tag.cgroup) }?;
    tag.identity = value.identity;
    tag.flags = value.flags;
    tag.version = version;
    // SAFETY: as above.
    unsafe { *kept = tag };
    Some(tag)
}

/// Keeps a tag with a socket.
#[inline(always)]
pub fn keep(socket: *mut bpf_sock, tag: &SocketTag) {
    let mut value = *tag;
    // SAFETY: as above; the helper copies the value.
    let kept = unsafe {
        bpf_sk_storage_get(storage(), socket.cast(), core::ptr::from_mut(&mut value).cast(), STORAGE_CREATE)
    };
    let kept = kept.cast::<SocketTag>();
    if !kept.is_null() {
        // SAFETY: the kernel's storage holds one tag; an older one is replaced.
        unsafe { *kept = value };
    }
}

#[inline(always)]
fn storage() -> *mut core::ffi::c_void {
    core::ptr::from_ref(&SOCKETS).cast_mut().cast()
}
