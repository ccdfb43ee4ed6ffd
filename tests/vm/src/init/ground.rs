//! What a system has before anything runs on it: file systems, modules, loopback, a name.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use nix::mount::MsFlags;

/// Kind, place, and whether a kernel may be without it.
const MOUNTS: [(&str, &str, bool); 12] = [
    ("proc", "/proc", false),
    ("sysfs", "/sys", false),
    ("devtmpfs", "/dev", false),
    ("devpts", "/dev/pts", false),
    ("tmpfs", "/dev/shm", false),
    ("tmpfs", "/tmp", false),
    ("tmpfs", "/run", false),
    ("cgroup2", "/sys/fs/cgroup", false),
    ("bpf", "/sys/fs/bpf", false),
    ("tracefs", "/sys/kernel/tracing", false),
    ("securityfs", "/sys/kernel/security", false),
    ("fusectl", "/sys/fs/fuse/connections", true),
];

/// Names that programs expect below `/dev`.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

const NAME: &str = "enforcer-vm";

/// Mounts every file system that the jobs use.
///
/// # Errors
/// The kernel lacks one that it must have.
pub(crate) fn mount_all() -> Result<()> {
    for (kind, place, is_optional) in MOUNTS {
        let mounted = mount(kind, place);
        if !is_optional {
            mounted?;
        }
    }
    for (target, name) in LINKS {
        let _there_already = symlink(target, name);
    }
    Ok(())
}

fn mount(kind: &str, place: &str) -> Result<()> {
    // Below a file system of the kernel's own the place is there, or cannot be made.
    let _there_already = fs::create_dir_all(place);
    let nothing = None::<&str>;
    nix::mount::mount(Some(kind), place, Some(kind), MsFlags::empty(), nothing)
        .with_context(|| format!("mount {kind} at {place}"))
}

/// Loads a kernel module; fine when it is loaded already.
///
/// # Errors
/// There is no such file, or the kernel refused it.
pub(crate) fn load_module(path: &Path) -> Result<()> {
    let file = File::open(path).context("open")?;
    let parameters = CString::default();
    // SAFETY: the descriptor is open and the string ends with a zero; both outlive the call, which writes to neither.
    let loaded = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
    if loaded == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if error.raw_os_error() == Some(libc::EEXIST) { Ok(()) } else { Err(error.into()) }
}

/// Brings loopback up and names the machine.
///
/// # Errors
/// Either failed.
pub(crate) fn settle() -> Result<()> {
    fs::write("/proc/sys/kernel/hostname", NAME).context("hostname")?;
    let status = Command::new("/sbin/ip").args(["link", "set", "lo", "up"]).status().context("ip")?;
    ensure!(status.success(), "ip link set lo up: {status}");
    Ok(())
}

/// What `uname -r` says.
pub(crate) fn release() -> Result<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("osrelease")?;
    Ok(release.trim().to_owned())
}

/// The security modules that the kernel runs.
pub(crate) fn security_modules() -> Result<String> {
    let modules = fs::read_to_string("/sys/kernel/security/lsm").context("security modules")?;
    Ok(modules.trim().to_owned())
}
