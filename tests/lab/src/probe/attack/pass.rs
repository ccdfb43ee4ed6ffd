//! Attacks that want an open device from a process that has it.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use enforcer_lab::verdict::Verdict;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::Pid;

use super::opens::open_and_read;
use super::stage::{Help, Prey, Stage, join};
use super::{seccomp, touch};

pub(super) fn socket(stage: &Stage) -> Result<Verdict> {
    stage.pair(|help| give(&help.line, &help.device), |prey| Ok(received(take(&prey.line)?)))
}

pub(super) fn pidfd(stage: &Stage) -> Result<Verdict> {
    stage.pair(|_| Ok(()), |prey| Ok(used(copy_of(prey))))
}

pub(super) fn proc_fd(stage: &Stage) -> Result<Verdict> {
    let path = |prey: &Prey| PathBuf::from(format!("/proc/{}/fd/{}", prey.pid, prey.descriptor));
    stage.pair(|_| Ok(()), |prey| Ok(open_and_read(&path(prey))))
}

/// The owner answers the attacker's system call with its device.
pub(super) fn addfd(stage: &Stage) -> Result<Verdict> {
    stage.pair(
        |help: &Help| {
            let listener = take(&help.line)?.context("the attacker sent no listener")?;
            seccomp::answer(&listener, &help.device)
        },
        |prey| {
            let listener = seccomp::listen()?;
            give(&prey.line, &listener)?;
            Ok(used(seccomp::ask()))
        },
    )
}

/// Over fork and exec, from a process of the owner's to one of the attacker's.
pub(super) fn inherited(stage: &Stage) -> Result<Verdict> {
    super::stage::within(&stage.owner, || {
        let device = stage.open().context("the owner opens its device")?;
        fcntl(&device, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("use").arg(device.as_raw_fd().to_string());
        let other = stage.other.clone();
        // SAFETY: this process has one thread, so that its child may do whatever it could do itself.
        unsafe {
            command.pre_exec(move || join(&other).map_err(io::Error::other));
        }
        let out = command.output().context("the probe")?;
        serde_json::from_slice(&out.stdout).with_context(|| String::from_utf8_lossy(&out.stderr).into_owned())
    })
}

/// What a process can do with a descriptor that it was started with.
pub(crate) fn use_inherited(descriptor: RawFd) -> Verdict {
    // SAFETY: whoever started this process left the descriptor to it, and nothing else here knows its number.
    touch::read(&File::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
}

/// By `pidfd_getfd()`.
fn copy_of(prey: &Prey) -> io::Result<OwnedFd> {
    let process = pidfd(prey.pid)?;
    // SAFETY: three integers; the kernel makes the descriptor that it answers with.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), prey.descriptor, 0_u32) };
    return owned(number);

    fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
        // SAFETY: two integers; the kernel makes the descriptor that it answers with.
        owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0_u32) })
    }
}

/// A descriptor that a system call has just made.
pub(super) fn owned(number: libc::c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(number) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
        Ok(number) if number >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn used(device: io::Result<OwnedFd>) -> Verdict {
    match device {
        Ok(device) => touch::read(&File::from(device)),
        Err(error) => Verdict::refused(&error),
    }
}

fn received(device: Option<OwnedFd>) -> Verdict {
    device.map_or(Verdict::NoDescriptor, |device| touch::read(&File::from(device)))
}

fn give(line: &UnixStream, descriptor: &impl AsFd) -> Result<()> {
    let descriptors = [descriptor.as_fd().as_raw_fd()];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(line.as_raw_fd(), &[IoSlice::new(&[1])], &rights, MsgFlags::empty(), None)?;
    Ok(())
}

/// What came in a message; `None` when it came without a descriptor.
fn take(line: &UnixStream) -> Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut iov = [IoSliceMut::new(&mut byte)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(line.as_raw_fd(), &mut iov, Some(&mut space), flags)?;
    // There is room for one: what the kernel cut off, it kept from this process.
    if message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Ok(None);
    }
    let mut taken = None;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
            taken = descriptors.first().map(|number| unsafe { OwnedFd::from_raw_fd(*number) });
        }
    }
    Ok(taken)
}
