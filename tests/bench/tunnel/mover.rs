//! A process that moves other people's bytes, and what that costs it.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A process, by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mover {
    pid: Pid,
    clock: ClockId,
}

impl Mover {
    pub(super) fn of(pid: i32) -> Result<Self> {
        let pid = Pid::from_raw(pid);
        Ok(Self { pid, clock: clock_getcpuclockid(pid).with_context(|| format!("process {pid}"))? })
    }

    /// Processor time so far, in user and kernel mode, of all its threads.
    pub(super) fn cpu_seconds(self) -> Result<f64> {
        let time = clock_gettime(self.clock).with_context(|| format!("process {}", self.pid))?;
        Ok(Duration::from(time).as_secs_f64())
    }

    /// Resident memory, in KiB.
    pub(super) fn resident_kib(self) -> Result<f64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().next().context("an empty line")?.parse()?)
    }
}

/// A proxy that runs until it is dropped.
pub(super) struct Proxy {
    child: Child,
    log: PathBuf,
}

impl Proxy {
    pub(super) fn start(command: &mut Command, log: PathBuf) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("{:?}", command.get_program()))?;
        Ok(Self { child, log })
    }

    pub(super) fn mover(&self) -> Result<Mover> {
        Mover::of(i32::try_from(self.child.id())?)
    }

    /// Fails when it has ended.
    pub(super) fn is_up(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        let log = || fs::read_to_string(&self.log).unwrap_or_default();
        ensure!(ended.is_none(), "the proxy ended: {ended:?}\n{}", log());
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
