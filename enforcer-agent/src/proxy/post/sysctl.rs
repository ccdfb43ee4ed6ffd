//! Switches of the calling thread's network namespace. A container has `/proc/sys` mounted read-only: there they are set
//! through a procfs of our own, which is mounted nowhere and goes when it is closed.

use std::ffi::CStr;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// Where switches are.
const ROOT: &str = "/proc/";
/// `FSOPEN_CLOEXEC` and `FSMOUNT_CLOEXEC` of `linux/mount.h`.
const CLOSE_ON_EXEC: libc::c_long = 1;
/// `FSCONFIG_CMD_CREATE`.
const CREATE: libc::c_long = 6;
/// `MOUNT_ATTR_NOSUID`, `MOUNT_ATTR_NODEV`, `MOUNT_ATTR_NOEXEC`.
const ATTRIBUTES: libc::c_long = 2 | 4 | 8;

/// Switches on what is off; true when it was.
pub(super) fn switch_on(path: &str) -> io::Result<bool> {
    let was_off = fs::read_to_string(path)?.trim() == "0";
    if was_off {
        write(path, b"1")?;
    }
    Ok(was_off)
}

/// Switches off.
pub(super) fn switch_off(path: &str) -> io::Result<()> {
    write(path, b"0")
}

fn write(path: &str, value: &[u8]) -> io::Result<()> {
    match fs::write(path, value) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            let below = path.strip_prefix(ROOT).ok_or(error)?;
            let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            File::from(openat(own_procfs()?, below, flags, Mode::empty())?).write_all(value)
        }
        outcome => outcome,
    }
}

fn own_procfs() -> io::Result<OwnedFd> {
    const KIND: &CStr = c"proc";
    let nothing = std::ptr::null::<libc::c_char>();
    // SAFETY: the name is a string that ends with zero and lives through the call.
    let context = descriptor(unsafe { libc::syscall(libc::SYS_fsopen, KIND.as_ptr(), CLOSE_ON_EXEC) })?;
    // SAFETY: the command takes neither key nor value, and null is what it asks for in their place.
    let created =
        unsafe { libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), CREATE, nothing, nothing, 0_i64) };
    if created != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call takes three integers and no memory.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), CLOSE_ON_EXEC, ATTRIBUTES) })
}

/// The descriptor that a call returned. It must be a new one.
fn descriptor(returned: libc::c_long) -> io::Result<OwnedFd> {
    let raw = i32::try_from(returned).map_err(io::Error::other)?;
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both callers made a call that returns a new descriptor, which nobody else holds.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}
