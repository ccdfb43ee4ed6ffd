//! System calls that another process answers, and may answer with a descriptor (seccomp_unotify(2)).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result};

use super::pass::owned;

/// The call that is handed over: one that nothing else here makes.
const CALL: libc::c_long = libc::SYS_getppid;
/// `SECCOMP_SET_MODE_FILTER`
const SET_FILTER: libc::c_ulong = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`
const NEW_LISTENER: libc::c_ulong = 8;
/// `SECCOMP_RET_USER_NOTIF`
const RETURN_NOTIFY: u32 = 0x7fc0_0000;
/// `SECCOMP_RET_ALLOW`
const RETURN_ALLOW: u32 = 0x7fff_0000;
/// `SECCOMP_IOCTL_NOTIF_RECV`
const RECEIVE: libc::c_ulong = 0xc050_2100;
/// `SECCOMP_IOCTL_NOTIF_SEND`
const SEND: libc::c_ulong = 0xc018_2101;
/// `SECCOMP_IOCTL_NOTIF_ADDFD`
const ADD: libc::c_ulong = 0x4018_2103;
/// `SECCOMP_ADDFD_FLAG_SEND`: the descriptor's number is the answer. Since 5.14.
const ADD_AND_SEND: u32 = 2;

/// `struct seccomp_notif`
#[repr(C)]
#[derive(Default)]
struct Question {
    id: u64,
    pid: u32,
    flags: u32,
    data: [u64; 8],
}

/// `struct seccomp_notif_resp`
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// `struct seccomp_notif_addfd`
#[repr(C)]
struct AddDescriptor {
    id: u64,
    flags: u32,
    source: u32,
    target: u32,
    target_flags: u32,
}

/// From now on somebody else answers [`CALL`].
pub(super) fn listen() -> Result<OwnedFd> {
    let statement = |code: u32, k: u32, (jt, jf): (u8, u8)| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, (0, 0)),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::try_from(CALL)?, (0, 1)),
        statement(libc::BPF_RET | libc::BPF_K, RETURN_NOTIFY, (0, 0)),
        statement(libc::BPF_RET | libc::BPF_K, RETURN_ALLOW, (0, 0)),
    ];
    let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and what it points to outlive the call, which copies both.
    let number = unsafe { libc::syscall(libc::SYS_seccomp, SET_FILTER, NEW_LISTENER, &raw const program) };
    owned(number).context("seccomp")
}

/// Makes the call; its answer is a descriptor.
pub(super) fn ask() -> io::Result<OwnedFd> {
    // SAFETY: no arguments; whoever answers made the descriptor for us.
    owned(unsafe { libc::syscall(CALL) })
}

/// Answers one call with a device, or with the error that adding it came to.
pub(super) fn answer(listener: &OwnedFd, device: &File) -> Result<()> {
    let mut question = Question::default();
    call(listener, RECEIVE, &mut question).context("the attacker's call")?;
    let mut add = AddDescriptor {
        id: question.id,
        flags: ADD_AND_SEND,
        source: u32::try_from(device.as_raw_fd())?,
        target: 0,
        target_flags: 0,
    };
    if let Err(error) = call(listener, ADD, &mut add) {
        let number = error.raw_os_error().unwrap_or(libc::EIO);
        let mut answer = Answer { id: question.id, value: 0, error: -number, flags: 0 };
        call(listener, SEND, &mut answer).context("answer the attacker's call")?;
    }
    Ok(())
}

fn call<T>(listener: &OwnedFd, request: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: each request is used with the structure of its name, which outlives the call.
    match unsafe { libc::ioctl(listener.as_raw_fd(), request, std::ptr::from_mut(argument)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
