//! What the kernel says of a process through a descriptor of it: nothing here can mean another process.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `struct pidfd_info` of `linux/pidfd.h` as Linux 6.13 has it; later kernels take the shorter one.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    pid: u32,
    tgid: u32,
    ppid: u32,
    ruid: u32,
    rgid: u32,
    euid: u32,
    egid: u32,
    suid: u32,
    sgid: u32,
    fsuid: u32,
    fsgid: u32,
    exit_code: i32,
}

/// `PIDFD_INFO_SIZE_VER0`.
const INFO_BYTES: usize = 64;
const _: () = assert!(size_of::<PidfdInfo>() == INFO_BYTES);
/// `PIDFD_INFO_CGROUPID`.
const CGROUP_ID: u64 = 1 << 2;

mod request {
    use super::PidfdInfo;
    nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, PidfdInfo);
}

/// The id of the control group that a process is in; `None` when the kernel cannot be asked (before 6.13).
pub(super) fn group(pidfd: &OwnedFd) -> io::Result<Option<u64>> {
    let mut info = PidfdInfo { mask: CGROUP_ID, ..PidfdInfo::default() };
    // SAFETY: the request is for a structure of this layout and size, which lives through the call.
    match unsafe { request::pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) } {
        Ok(_) if info.mask & CGROUP_ID != 0 => Ok(Some(info.cgroupid)),
        // Kernels from 6.11 to 6.12 know other requests of the kind, and call the argument wrong.
        Ok(_) | Err(nix::Error::ENOTTY | nix::Error::EINVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// True once the process has ended, reaped or not.
pub(super) fn has_ended(pidfd: &impl AsFd) -> io::Result<bool> {
    let mut waiting = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    Ok(poll(&mut waiting, PollTimeout::ZERO)? > 0)
}

/// Has the runtime listen for the end of the process.
pub(super) fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and stays the same one until it is dropped, here with the value.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

/// A descriptor of the process that has this number now.
pub(super) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else holds.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
