//! What a tenant's process may not reach for: processes that are not its tenant's, and the wall itself. Processes of the
//! host are its administrators', and are not held back.

use aya_ebpf::helpers::generated::{bpf_get_current_cgroup_id, bpf_ktime_get_ns};
use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use enforcer_common::event::{
    Event, HOOK_BPF, HOOK_MOUNT, HOOK_PTRACE, HOOK_TASK_KILL, HOOK_UNLINK, KIND_GUARD_REFUSED,
};
use enforcer_common::identity::{self, CANARY};
use enforcer_common::maps::{CounterKey, SETTING_CANARY, SETTING_DEVICE_AUDIT, STATE_AGENT};
use enforcer_common::reason::{TASK_FOREIGN, WALL_GUARDED};
use enforcer_common::verdict::{AUDIT, DENY};

use super::offsets::{field, offset};
use super::{PASS, Pointer, REFUSE};
use crate::account::{Place, count, describe};
use crate::tables::{settings, state};
use crate::tag;
use crate::tell::{Channel, room, submit};

/// `BPF_FS_MAGIC` (`linux/magic.h`).
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// `PTRACE_MODE_NOAUDIT` (`linux/ptrace.h`): somebody looks around, as `ps` does.
const QUIET: u32 = 4;

#[lsm(hook = "ptrace_access_check")]
pub fn ptrace_access(context: LsmContext) -> i32 {
    let Some(who) = tenant() else { return PASS };
    let (_, whose) = tag::of_task(context.arg(0));
    if whose == who {
        return PASS;
    }
    let mode: u32 = context.arg(1);
    refuse(who, whose, TASK_FOREIGN, HOOK_PTRACE, mode & QUIET)
}

/// Only what processes send comes here; what the kernel sends by itself does not.
#[lsm(hook = "task_kill")]
pub fn task_kill(context: LsmContext) -> i32 {
    let Some(who) = tenant() else { return PASS };
    let task: Pointer = context.arg(0);
    let process = u64::from(field!(task, task_tgid, u32));
    let (_, whose) = tag::of_task(context.arg(0));
    if whose == who {
        return PASS;
    }
    if process == state(STATE_AGENT) {
        return refuse(who, whose, WALL_GUARDED, HOOK_TASK_KILL, 0);
    }
    if identity::is_tenant(whose) {
        return refuse(who, whose, TASK_FOREIGN, HOOK_TASK_KILL, 0);
    }
    PASS
}

/// The argument behind the size tells of calls from inside the kernel on kernels that have it; on others it is what an
/// earlier program answered, which is nothing where this one is asked.
#[lsm(hook = "bpf")]
pub fn guard_bpf(context: LsmContext) -> i32 {
    let Some(who) = tenant() else { return PASS };
    let from_kernel: u64 = context.arg(3);
    if from_kernel & 1 != 0 {
        return PASS;
    }
    refuse(who, identity::HOST, WALL_GUARDED, HOOK_BPF, 0)
}

#[lsm(hook = "inode_unlink")]
pub fn guard_unlink(context: LsmContext) -> i32 {
    guard_directory(context.arg(0))
}

#[lsm(hook = "inode_rmdir")]
pub fn guard_rmdir(context: LsmContext) -> i32 {
    guard_directory(context.arg(0))
}

#[lsm(hook = "inode_rename")]
pub fn guard_rename(context: LsmContext) -> i32 {
    guard_directory(context.arg(0))
}

#[lsm(hook = "sb_mount")]
pub fn guard_mount(context: LsmContext) -> i32 {
    guard_path(context.arg(1))
}

#[lsm(hook = "move_mount")]
pub fn guard_move_mount(context: LsmContext) -> i32 {
    let answer = guard_path(context.arg(1));
    if answer == PASS { guard_path(context.arg(0)) } else { answer }
}

#[lsm(hook = "sb_umount")]
pub fn guard_umount(context: LsmContext) -> i32 {
    let mount: Pointer = context.arg(0);
    guard_super(field!(mount, mount_sb, Pointer), HOOK_MOUNT)
}

#[inline(always)]
fn guard_directory(directory: Pointer) -> i32 {
    guard_super(field!(directory, inode_sb, Pointer), HOOK_UNLINK)
}

#[inline(always)]
fn guard_path(path: Pointer) -> i32 {
    let entry = field!(path, path_dentry, Pointer);
    if entry.is_null() {
        return PASS;
    }
    guard_super(field!(entry, dentry_sb, Pointer), HOOK_MOUNT)
}

/// Pins live on BPF file systems, and no tenant has a need of one.
#[inline(always)]
fn guard_super(super_block: Pointer, hook: u8) -> i32 {
    if super_block.is_null() || field!(super_block, sb_magic, u64) != BPF_FS_MAGIC {
        return PASS;
    }
    let Some(who) = tenant() else { return PASS };
    refuse(who, identity::HOST, WALL_GUARDED, hook, 0)
}

/// The tenant of the current process. The canary is one only while it tries these hooks.
#[inline(always)]
fn tenant() -> Option<u32> {
    let who = tag::of_current().identity;
    if !identity::is_tenant(who) || (who == CANARY && settings().flags & SETTING_CANARY == 0) {
        return None;
    }
    Some(who)
}

/// Refuses, counts and tells; where the node's device gate only records, so does this, but to the canary.
#[inline(never)]
fn refuse(who: u32, whose: u32, reason: u16, hook: u8, quiet: u32) -> i32 {
    let audited = settings().flags & SETTING_DEVICE_AUDIT != 0 && who != CANARY;
    let answer = if audited { PASS } else { REFUSE };
    if quiet != 0 {
        return answer;
    }
    count(&CounterKey { source: who, destination: whose, reason, hook, audited: u8::from(audited) }, 0);
    // SAFETY: the helpers take no argument.
    let (now_ns, cgroup) = unsafe { (bpf_ktime_get_ns(), bpf_get_current_cgroup_id()) };
    let Some(mut entry) = room::<Event>(Channel::Device, KIND_GUARD_REFUSED, who, now_ns) else { return answer };
    let place = Place { hook, interface: 0, bytes: 0, network: 0, cgroup, cookie: 0 };
    let event = entry.as_mut_ptr();
    // SAFETY: the reservation is as large as an event, and every field is written before it is submitted.
    unsafe {
        describe::<true>(event, &place);
        (*event).source_identity = who;
        (*event).destination_identity = whose;
        (*event).reason = reason;
        (*event).action = if audited { AUDIT } else { DENY };
        (*event).shadow_action = DENY;
    }
    submit(Channel::Device, entry);
    answer
}
