//! Hooks on files. What is no device leaves after a look at its inode.

use aya_ebpf::macros::lsm;
use aya_ebpf::programs::LsmContext;
use enforcer_common::device::{ACCESS_MKNOD, DeviceRequest};
use enforcer_common::event::{
    HOOK_FILE_FREE, HOOK_FILE_IOCTL, HOOK_FILE_OPEN, HOOK_FILE_PERMISSION, HOOK_FILE_RECEIVE,
    HOOK_INODE_MKNOD, HOOK_MMAP_FILE, HOOK_URING_CMD,
};
use enforcer_common::verdict::ALLOW;

use super::{PASS, REFUSE, argument, earlier, handle, proof};
use crate::device::{answer, tell, touch};
use crate::{node, peek};

/// A file is opened. The gate has spoken before; here the open file enters the account.
#[lsm(hook = "file_open")]
pub fn file_open(context: LsmContext) -> i32 {
    if earlier(&context, 1) {
        return REFUSE;
    }
    let file = argument(&context, 0);
    let Some(layout) = peek::layout() else { return PASS };
    let Some(request) = node::of_file(file, layout) else { return PASS };
    proof::seen(HOOK_FILE_OPEN);
    let Some(answer) = answer(&request) else { return PASS };
    if answer.verdict.action != ALLOW {
        tell(&answer, &request, HOOK_FILE_OPEN);
    }
    if !answer.verdict.passes() {
        return REFUSE;
    }
    handle::opened(file, answer.who, &request);
    PASS
}

/// A file comes from another process.
#[lsm(hook = "file_receive")]
pub fn file_receive(context: LsmContext) -> i32 {
    if earlier(&context, 1) {
        return REFUSE;
    }
    let file = argument(&context, 0);
    let Some(layout) = peek::layout() else { return PASS };
    let Some(request) = node::of_file(file, layout) else { return PASS };
    proof::seen(HOOK_FILE_RECEIVE);
    if handle::is_within_its_tenant(file, &request) {
        return PASS;
    }
    let Some(answer) = answer(&request) else { return PASS };
    tell(&answer, &request, HOOK_FILE_RECEIVE);
    if !answer.verdict.passes() {
        return REFUSE;
    }
    touch(answer.who, &request);
    handle::received(file, answer.who, &request);
    PASS
}

/// An open file is read or written.
#[lsm(hook = "file_permission")]
pub fn file_permission(context: LsmContext) -> i32 {
    if earlier(&context, 2) { REFUSE } else { used(argument(&context, 0), HOOK_FILE_PERMISSION) }
}

#[lsm(hook = "file_ioctl")]
pub fn file_ioctl(context: LsmContext) -> i32 {
    if earlier(&context, 3) { REFUSE } else { used(argument(&context, 0), HOOK_FILE_IOCTL) }
}

/// The same from a 32-bit process, since Linux 6.8.
#[lsm(hook = "file_ioctl_compat")]
pub fn file_ioctl_compat(context: LsmContext) -> i32 {
    if earlier(&context, 3) { REFUSE } else { used(argument(&context, 0), HOOK_FILE_IOCTL) }
}

/// A file, or nothing, is mapped.
#[lsm(hook = "mmap_file")]
pub fn mmap_file(context: LsmContext) -> i32 {
    if earlier(&context, 4) { REFUSE } else { used(argument(&context, 0), HOOK_MMAP_FILE) }
}

/// A driver's command by way of io_uring.
#[lsm(hook = "uring_cmd")]
pub fn uring_cmd(context: LsmContext) -> i32 {
    if earlier(&context, 1) {
        return REFUSE;
    }
    let Some(layout) = peek::layout() else { return PASS };
    let Some(file) = peek::at::<u64>(argument(&context, 0), layout.uring_cmd_file) else { return PASS };
    used(file, HOOK_URING_CMD)
}

/// A node is made: the directory, the entry, the mode, the number.
#[lsm(hook = "inode_mknod")]
pub fn inode_mknod(context: LsmContext) -> i32 {
    if earlier(&context, 4) {
        return REFUSE;
    }
    let Some(kind) = node::kind_of(argument(&context, 2) as u16) else { return PASS };
    proof::seen(HOOK_INODE_MKNOD);
    judged(&node::request(kind, argument(&context, 3) as u32, ACCESS_MKNOD), HOOK_INODE_MKNOD)
}

/// Nothing refers to an open file any more.
#[lsm(hook = "file_free_security")]
pub fn file_free(context: LsmContext) -> i32 {
    handle::freed(argument(&context, 0), HOOK_FILE_FREE);
    PASS
}

/// An open file is used as it was opened.
#[inline(always)]
fn used(file: u64, hook: u8) -> i32 {
    let Some(layout) = peek::layout() else { return PASS };
    let Some(request) = node::of_file(file, layout) else { return PASS };
    proof::seen(hook);
    judged(&request, hook)
}

/// Tells what it refuses, and nothing else: what is open is used often.
#[inline(always)]
fn judged(request: &DeviceRequest, hook: u8) -> i32 {
    let Some(answer) = answer(request) else { return PASS };
    if answer.verdict.action != ALLOW {
        tell(&answer, request, hook);
    }
    if answer.verdict.passes() { PASS } else { REFUSE }
}
