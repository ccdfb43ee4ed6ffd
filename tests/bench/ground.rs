//! Pins and control groups of the bench's own walls, under names that a later bench can find and remove.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enforcer_agent::kernel;
use enforcer_lab::cgroup;
use enforcer_lab::topology::BPFFS;
use nix::sched::{CloneFlags, unshare};

const CGROUP: &str = "/enforcer-bench";
const PINS: &str = "enforcer-bench";

/// A place for one wall. Dropping it removes the wall.
pub(crate) struct Ground {
    pub(crate) pins: PathBuf,
    /// Below the cgroup2 mount.
    pub(crate) group: String,
}

impl Ground {
    pub(crate) fn new(label: &str) -> Result<Self> {
        let group = format!("{CGROUP}/{label}");
        cgroup::make(&group)?;
        Ok(Self { pins: pins().join(label), group })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let removed = kernel::uninstall(&self.pins).map(drop).context("uninstall");
        for problem in [removed, cgroup::remove(&self.group)].into_iter().filter_map(Result::err) {
            eprintln!("bench: {problem:#}");
        }
    }
}

/// Removes everything that any bench made outside its labs.
pub(crate) fn clear() -> Result<()> {
    if let Ok(walls) = fs::read_dir(pins()) {
        for wall in walls {
            kernel::uninstall(&wall?.path()).context("uninstall")?;
        }
        fs::remove_dir_all(pins()).with_context(|| format!("{}", pins().display()))?;
    }
    if cgroup::dir(CGROUP)?.exists() {
        cgroup::kill_all(CGROUP)?;
        cgroup::remove(CGROUP)?;
    }
    Ok(())
}

fn pins() -> PathBuf {
    Path::new(BPFFS).join(PINS)
}

/// This process's network namespace, in the place of a name below `/run/netns`.
pub(crate) const THIS_NETNS: &str = "/proc/self/ns/net";

/// Runs something on a thread with a network namespace of its own, which goes with it.
pub(crate) fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("a network namespace needs root")?;
            work()
        });
        match thread.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
