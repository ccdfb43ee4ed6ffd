//! Starting a program inside a workload or a node: in its control group and its network namespace. Its mount
//! namespace stays this one, because another would hide the BPF file system.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::cgroup;

/// Where `ip netns` keeps its names.
pub const NETNS_DIR: &str = "/run/netns";

/// A place to run a program in.
#[derive(Clone, Debug)]
pub struct Place {
    /// Network namespace, by the name that `ip netns` knows.
    pub netns: String,
    /// Control group below the cgroup2 mount; `None` to stay in this process's.
    pub cgroup: Option<String>,
}

impl Place {
    /// A command that will run here.
    ///
    /// # Errors
    /// The namespace or the group is not there.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command> {
        let path = Path::new(NETNS_DIR).join(&self.netns);
        let netns =
            OwnedFd::from(File::open(&path).with_context(|| format!("network namespace {}", self.netns))?);
        let procs = self.cgroup.as_deref().map(open_procs).transpose()?;
        let mut command = Command::new(program);
        // SAFETY: between fork and exec the closure makes two system calls on descriptors that it owns; it
        // does not allocate and takes no lock.
        unsafe {
            command.pre_exec(move || {
                if let Some(procs) = &procs {
                    join_cgroup(procs)?;
                }
                setns(&netns, CloneFlags::CLONE_NEWNET).map_err(io::Error::from)
            });
        }
        Ok(command)
    }

    /// Runs a piece of this process on a thread of its own inside the namespace.
    ///
    /// # Errors
    /// The namespace is not there, or what ran failed.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = Path::new(NETNS_DIR).join(&self.netns);
        let netns = File::open(&path).with_context(|| format!("network namespace {}", self.netns))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(&netns, CloneFlags::CLONE_NEWNET).context("setns")?;
                work()
            });
            match thread.join() {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }
}

fn open_procs(group: &str) -> Result<OwnedFd> {
    let path = cgroup::dir(group)?.join("cgroup.procs");
    let file = File::options().write(true).open(&path).with_context(|| format!("{}", path.display()))?;
    Ok(OwnedFd::from(file))
}

fn join_cgroup(procs: &OwnedFd) -> io::Result<()> {
    // SAFETY: one byte is read from a constant; "0" stands for the calling process.
    match unsafe { libc::write(procs.as_raw_fd(), b"0".as_ptr().cast(), 1) } {
        1 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
