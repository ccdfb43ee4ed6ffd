//! A connection that one process makes and another uses.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::wait;
use enforcer_tests::workload;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::unistd::getppid;

use super::moved::ask;
use super::{WORD, say};

/// How long a parent may take to end.
const ORPHAN_LIMIT: Duration = Duration::from_secs(10);

/// Connects, and starts a child in another control group that inherits the connection: to the kernel the same
/// as one that was sent over a socket.
pub(super) fn over(socket: &Path, cgroup: &Path, orphan: bool) -> Result<()> {
    let connection = OwnedFd::from(UnixStream::connect(socket).context("connect")?);
    fcntl(&connection, FcntlArg::F_SETFD(FdFlag::empty())).context("fcntl")?;
    let procs = File::options().write(true).open(cgroup.join("cgroup.procs")).context("cgroup.procs")?;
    let mut child = Command::new(std::env::current_exe()?);
    child.args([WORD, "speak", &connection.as_raw_fd().to_string()]);
    if orphan {
        child.args(["--orphan-of", &std::process::id().to_string()]);
    }
    // SAFETY: between fork and exec the closure makes one system call on a descriptor that it owns; it does
    // not allocate and takes no lock.
    unsafe {
        child.pre_exec(move || {
            // SAFETY: one byte is read from a constant; "0" stands for the calling process.
            match libc::write(procs.as_raw_fd(), b"0".as_ptr().cast(), 1) {
                1 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        });
    }
    let mut child = child.spawn().context("the child")?;
    if !orphan {
        let status = child.wait()?;
        ensure!(status.success(), "the child: {status}");
    }
    Ok(())
}

/// Asks over the connection.
pub(super) async fn speak(descriptor: i32, orphan_of: Option<i32>) -> Result<()> {
    if let Some(parent) = orphan_of {
        wait::until_true("the parent ends", ORPHAN_LIMIT, || Ok(getppid().as_raw() != parent))?;
    }
    // SAFETY: the parent left this descriptor open for us, and nothing else here uses it.
    let connection = unsafe { OwnedFd::from_raw_fd(descriptor) };
    say(&ask(&mut workload::over(connection).await?).await?)
}
