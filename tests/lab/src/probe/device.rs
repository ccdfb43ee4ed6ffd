//! Opening, making and holding devices.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context, Result};
use enforcer_lab::outcome::Outcome;
use nix::sys::stat::{Mode, SFlag, makedev};

/// Opens for reading and writing, as drivers' libraries do.
pub(crate) fn open(path: &Path) -> Outcome {
    Outcome::from(File::options().read(true).write(true).open(path).map(drop))
}

/// Makes a character device node.
pub(crate) fn mknod(path: &Path, major: u64, minor: u64) -> Outcome {
    let mode = Mode::from_bits_truncate(0o666);
    let made = nix::sys::stat::mknod(path, SFlag::S_IFCHR, mode, makedev(major, minor));
    Outcome::from(made.map_err(std::io::Error::from))
}

/// Moves to another group first.
pub(crate) fn wander(cgroup: &Path, path: &Path) -> Result<Outcome> {
    join(cgroup)?;
    Ok(open(path))
}

/// Moves to another group and stays there until standard input ends.
pub(crate) fn enter(cgroup: &Path) -> Result<()> {
    join(cgroup)?;
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn join(cgroup: &Path) -> Result<()> {
    fs::write(cgroup.join("cgroup.procs"), "0").with_context(|| format!("enter {}", cgroup.display()))
}
