//! Attacks that want to open the device.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::outcome::Outcome;
use enforcer_lab::verdict::Verdict;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag};

use super::bpf;
use super::stage::{self, Stage, join, within};
use super::touch;
use super::uring::Ring;

/// `CAP_SYS_ADMIN`
const SYS_ADMIN: u32 = 21;

pub(super) fn open(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| Ok(open_and_read(&stage.node)))
}

/// The variable by which images ask a container toolkit for every GPU.
pub(super) fn environment(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| {
        let mut command = Command::new("/proc/self/exe");
        command.env("NVIDIA_VISIBLE_DEVICES", "all").arg("open").arg(&stage.node);
        let out = command.output().context("the probe")?.stdout;
        Ok(match serde_json::from_slice(&out)? {
            Outcome::Ok => Verdict::Done,
            Outcome::NotPermitted => Verdict::Refused("EPERM".to_owned()),
            other => Verdict::Refused(other.to_string()),
        })
    })
}

/// A container that was started with every capability.
pub(super) fn privileged(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| {
        let status = fs::read_to_string("/proc/self/status")?;
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).context("CapEff")?;
        let bits = u64::from_str_radix(effective.trim(), 16)?;
        ensure!(bits & (1 << SYS_ADMIN) != 0, "this process is not privileged: {effective}");
        Ok(open_and_read(&stage.node))
    })
}

/// A node of its own making with the device's number.
pub(super) fn mknod(stage: &Stage) -> Result<Verdict> {
    let metadata = fs::metadata(&stage.node)?;
    let kind = if metadata.file_type().is_block_device() { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    let forged = stage.node.with_file_name("forged");
    let outcome = stage.alone(|| {
        let made = nix::sys::stat::mknod(&forged, kind, Mode::S_IRUSR | Mode::S_IWUSR, metadata.rdev());
        Ok(match made {
            Ok(()) => open_and_read(&forged),
            Err(errno) => Verdict::refused(&errno.into()),
        })
    });
    let _absent = fs::remove_file(&forged);
    outcome
}

/// Groups below its own, as a container within the container has.
pub(super) fn nested(stage: &Stage) -> Result<Verdict> {
    let inner = stage.other.join("inner");
    let most = inner.join("most");
    fs::create_dir_all(&most).with_context(|| format!("{}", most.display()))?;
    let outcome = within(&most, || Ok(open_and_read(&stage.node)));
    // The process is gone from its group a moment after it is reaped.
    for group in [most, inner] {
        enforcer_lab::wait::until_true("the inner group empties", std::time::Duration::from_secs(5), || {
            Ok(fs::remove_dir(&group).is_ok())
        })?;
    }
    outcome
}

/// Root of namespaces of its own making.
pub(super) fn namespaces(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| {
        let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
        if let Err(errno) = unshare(flags) {
            return Ok(Verdict::Absent(format!("this kernel makes no such namespaces: {errno}")));
        }
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", "0 0 1")?;
        fs::write("/proc/self/gid_map", "0 0 1")?;
        stage::fork_off(|| Ok(open_and_read(&stage.node)))?.end()
    })
}

pub(super) fn moved_elsewhere(stage: &Stage) -> Result<Verdict> {
    moved(stage, &stage.elsewhere)
}

pub(super) fn moved_to_the_owner(stage: &Stage) -> Result<Verdict> {
    moved(stage, &stage.owner)
}

fn moved(stage: &Stage, group: &Path) -> Result<Verdict> {
    stage.alone(|| {
        join(group)?;
        Ok(open_and_read(&stage.node))
    })
}

/// A container runtime puts its own device program on the container's group, and then another in its place.
pub(super) fn rewritten_leaf(stage: &Stage) -> Result<Verdict> {
    let group = File::open(&stage.other)?;
    let (first, second) = (bpf::allow_all_devices()?, bpf::allow_all_devices()?);
    bpf::attach(&group, &first, None)?;
    let replaced = bpf::attach(&group, &second, Some(&first));
    let outcome = open(stage);
    let last = if replaced.is_ok() { &second } else { &first };
    bpf::detach(&group, last)?;
    replaced.context("replace the program on the leaf")?;
    outcome
}

/// The service manager rewrites the programs of its units.
pub(super) fn daemon_reload(_: &Stage) -> Result<Verdict> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(Verdict::Absent("no systemd manages this machine".to_owned()));
    }
    Ok(Verdict::Absent("the lab's groups are not units of this machine's systemd".to_owned()))
}

pub(super) fn io_uring(stage: &Stage) -> Result<Verdict> {
    let path = CString::new(stage.node.as_os_str().as_bytes())?;
    stage.alone(|| {
        let Some(mut ring) = Ring::new()? else { return Ok(Ring::absent()) };
        Ok(Verdict::from(ring.open(&path)?))
    })
}

/// A handle that cannot be read, and a real one made from it.
pub(super) fn path_only(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| {
        let path = File::options().read(true).custom_flags(libc::O_PATH).open(&stage.node)?;
        let again = PathBuf::from(format!("/proc/self/fd/{}", path.as_raw_fd()));
        Ok(open_and_read(&again))
    })
}

pub(super) fn open_and_read(node: &Path) -> Verdict {
    match stage::open(node) {
        Ok(device) => touch::read(&device),
        Err(error) => Verdict::refused(&error),
    }
}
