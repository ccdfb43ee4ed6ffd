//! Control groups: finding the cgroup2 mount, making, emptying and removing groups below it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use crate::process::ProcessId;
use crate::wait;

/// How long killed processes may take to leave their group.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// Where the cgroup2 hierarchy is mounted; on hybrid machines that is not `/sys/fs/cgroup`.
///
/// # Errors
/// It is mounted nowhere.
pub fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    mount_in(&mounts).context("no cgroup2 mount: try `mount -t cgroup2 none /sys/fs/cgroup`")
}

fn mount_in(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let is_cgroup2 = kind.split(' ').next() == Some("cgroup2");
        is_cgroup2.then(|| fields.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

/// The directory of a group that is named by its path below the mount.
///
/// # Errors
/// cgroup2 is mounted nowhere.
pub fn dir(group: &str) -> Result<PathBuf> {
    Ok(mount()?.join(group.trim_start_matches('/')))
}

/// Makes a group and the groups above it.
///
/// # Errors
/// The kernel refused.
pub fn make(group: &str) -> Result<()> {
    let dir = dir(group)?;
    fs::create_dir_all(&dir).with_context(|| format!("cgroup {}", dir.display()))
}

/// Processes in a group and in those below it.
///
/// # Errors
/// cgroup2 is mounted nowhere.
pub fn processes(group: &str) -> Result<Vec<ProcessId>> {
    let mut found = Vec::new();
    collect(&dir(group)?, &mut found);
    Ok(found)
}

fn collect(dir: &Path, found: &mut Vec<ProcessId>) {
    let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let pids = pids.lines().filter_map(|line| line.parse().ok());
    found.extend(pids.filter_map(|pid| ProcessId::of(pid).ok()));
    for child in children(dir) {
        collect(&child, found);
    }
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|e| e.path())
        .collect()
}

/// Kills whatever runs in a group, and waits until it is empty.
///
/// # Errors
/// It did not become empty.
pub fn kill_all(group: &str) -> Result<()> {
    wait::until_true(&format!("cgroup {group} empties"), EMPTY_LIMIT, || {
        let left = processes(group)?;
        for process in left.iter().filter(|process| process.is_alive()) {
            process.signal(Signal::SIGKILL)?;
        }
        Ok(left.iter().all(|process| !process.is_alive()))
    })
}

/// Removes an empty group and those below it; fine when it is not there.
///
/// # Errors
/// A process is still inside.
pub fn remove(group: &str) -> Result<()> {
    remove_tree(&dir(group)?)
}

fn remove_tree(dir: &Path) -> Result<()> {
    for child in children(dir) {
        remove_tree(&child)?;
    }
    // A killed process leaves its group a moment after it stops being visible.
    wait::until_true(&format!("remove cgroup {}", dir.display()), EMPTY_LIMIT, || match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("remove cgroup {}", dir.display())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_on_hybrid_and_unified_machines() {
        let hybrid = "30 23 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                      31 30 0:27 / /sys/fs/cgroup/cpu rw shared:9 - cgroup cgroup rw,cpu\n\
                      42 30 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_in(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(
            mount_in("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 none rw\n"),
            Some("/sys/fs/cgroup".into())
        );
        assert_eq!(mount_in("30 23 0:26 / /proc rw - proc proc rw\n"), None);
    }
}
