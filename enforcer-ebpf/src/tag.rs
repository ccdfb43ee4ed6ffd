//! Who a process or a socket belongs to: the nearest known control group among its ancestors.

use aya_ebpf::bindings::bpf_sock;
use aya_ebpf::btf_maps::SkStorage;
use aya_ebpf::helpers::generated::{
    bpf_get_current_ancestor_cgroup_id, bpf_get_current_cgroup_id, bpf_sk_storage_get,
};
use aya_ebpf::macros::btf_map;
use enforcer_common::identity;
use enforcer_common::layout::FileLayout;
use enforcer_common::maps::{CGROUP_LEVELS, STATE_CGROUPS, SocketTag};

use crate::peek;
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

/// The tag of the current process.
#[inline(always)]
pub fn of_current() -> SocketTag {
    // SAFETY: the helpers take no pointer, and any level.
    unsafe { recognise(bpf_get_current_cgroup_id(), |level| bpf_get_current_ancestor_cgroup_id(level)) }
}

/// Whose a task is, and the control group that it is in.
pub struct TaskTag {
    pub identity: u32,
    pub leaf: u64,
}

/// The nearest known group of a task, which need not be the current one; `HOST` when none is known. A control group's state
/// is its first member, so that a parent's state is the parent.
#[inline(never)]
pub fn of_task(task: u64, layout: &FileLayout) -> TaskTag {
    let mut tag = TaskTag { identity: identity::HOST, leaf: 0 };
    let set = peek::at::<u64>(task, layout.task_cgroups).unwrap_or(0);
    let mut group = peek::at::<u64>(set, layout.css_set_cgroup).unwrap_or(0);
    let mut level = 0;
    while level <= LEVELS {
        let node = peek::at::<u64>(group, layout.cgroup_kn).unwrap_or(0);
        let Some(id) = peek::at::<u64>(node, layout.kn_id) else { break };
        if level == 0 {
            tag.leaf = id;
        }
        // SAFETY: values of a map without preallocation are freed only after a grace period.
        if let Some(value) = unsafe { CGROUPS.get(id) } {
            tag.identity = value.identity;
            break;
        }
        group = peek::at::<u64>(group, layout.css_parent).unwrap_or(0);
        level += 1;
    }
    tag
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
