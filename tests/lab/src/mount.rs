//! File systems that a test mounts inside a lab's directory, so that one of them can be full.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Mounts an empty file system in memory of this size over a directory.
///
/// # Errors
/// The kernel refused.
pub fn small(path: &Path, kibibytes: u32) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("{}", path.display()))?;
    let options = format!("size={kibibytes}k,mode=0700");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some(options.as_str()))
        .with_context(|| format!("mount tmpfs at {}", path.display()))
}

/// Takes away everything that is mounted at a directory or below it; fine when nothing is.
///
/// # Errors
/// The kernel refused.
pub fn clear(dir: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
    // Later ones may lie on earlier ones.
    for path in below(&mounts, dir).into_iter().rev() {
        umount2(&path, MntFlags::MNT_DETACH).with_context(|| format!("unmount {}", path.display()))?;
    }
    Ok(())
}

fn below(mountinfo: &str, dir: &Path) -> Vec<PathBuf> {
    let paths = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    paths.filter(|path| path.starts_with(dir)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_at_or_below_the_directory_is_meant() {
        let mounts = "1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /lab/n1/state rw - tmpfs b rw\n\
                      3 1 0:3 / /lab2 rw - tmpfs c rw\n";
        assert_eq!(below(mounts, Path::new("/lab")), [PathBuf::from("/lab/n1/state")]);
    }
}
