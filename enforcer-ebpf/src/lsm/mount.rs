//! Pins and what could hide them: names on a BPF file system, and mounts over or away from it, are not a tenant's to change.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use enforcer_common::event::{HOOK_MOUNT, HOOK_UNLINK};
use enforcer_common::identity::HOST;
use enforcer_common::reason::WALL_GUARDED;

use super::guard::{refuse, tenant};
use super::{PASS, REFUSE, argument, earlier, proof};
use crate::peek;

/// `BPF_FS_MAGIC`
const BPF_FS: u64 = 0xcafe_4a11;

#[lsm(hook = "inode_unlink")]
pub fn inode_unlink(context: LsmContext) -> i32 {
    if earlier(&context, 2) { REFUSE } else { changed(argument(&context, 0)) }
}

#[lsm(hook = "inode_rmdir")]
pub fn inode_rmdir(context: LsmContext) -> i32 {
    if earlier(&context, 2) { REFUSE } else { changed(argument(&context, 0)) }
}

/// From one directory to another, of the same file system.
#[lsm(hook = "inode_rename")]
pub fn inode_rename(context: LsmContext) -> i32 {
    if earlier(&context, 4) { REFUSE } else { changed(argument(&context, 0)) }
}

/// Something is mounted at a path: what, where, of which type.
#[lsm(hook = "sb_mount")]
pub fn sb_mount(context: LsmContext) -> i32 {
    if earlier(&context, 5) { REFUSE } else { mounted(argument(&context, 1)) }
}

/// A mount is moved to a path.
#[lsm(hook = "move_mount")]
pub fn move_mount(context: LsmContext) -> i32 {
    if earlier(&context, 2) { REFUSE } else { mounted(argument(&context, 1)) }
}

/// A mount is taken away.
#[lsm(hook = "sb_umount")]
pub fn sb_umount(context: LsmContext) -> i32 {
    if earlier(&context, 2) {
        return REFUSE;
    }
    let Some(layout) = peek::layout() else { return PASS };
    judged(peek::at::<u64>(argument(&context, 0), layout.mount_sb), HOOK_MOUNT)
}

/// A directory's names are changed.
#[inline(always)]
fn changed(directory: u64) -> i32 {
    let Some(layout) = peek::layout() else { return PASS };
    judged(peek::at::<u64>(directory, layout.inode_sb), HOOK_UNLINK)
}

/// A path is mounted over.
#[inline(always)]
fn mounted(path: u64) -> i32 {
    let Some(layout) = peek::layout() else { return PASS };
    let entry = peek::at::<u64>(path, layout.path_dentry).unwrap_or(0);
    judged(peek::at::<u64>(entry, layout.dentry_sb), HOOK_MOUNT)
}

#[inline(always)]
fn judged(file_system: Option<u64>, hook: u8) -> i32 {
    let Some(layout) = peek::layout() else { return PASS };
    let magic = file_system.and_then(|system| peek::at::<u64>(system, layout.sb_magic));
    if magic != Some(BPF_FS) {
        return PASS;
    }
    let Some(who) = tenant() else { return PASS };
    proof::seen(hook);
    refuse(who, HOST, WALL_GUARDED, hook, true)
}
