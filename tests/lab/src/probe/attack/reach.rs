//! Attacks on the owner's processes, and on the wall itself.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, symlink};

use anyhow::{Context as _, Result};
use enforcer_lab::verdict::Verdict;
use nix::mount::{MsFlags, mount as mount_at};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bpf;
use super::stage::Stage;

/// What the owner keeps in its memory.
static SECRET: [u8; 8] = *b"mine, me";

pub(super) fn ptrace(stage: &Stage) -> Result<Verdict> {
    stage.pair(|_| Ok(()), |prey| Ok(Verdict::from(seize(prey.pid))))
}

fn seize(pid: Pid) -> io::Result<()> {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the request takes no memory of ours; the tracee goes free when this process ends.
    match unsafe { libc::ptrace(libc::PTRACE_SEIZE, pid.as_raw(), nothing, nothing) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(super) fn memory(stage: &Stage) -> Result<Verdict> {
    stage.pair(
        |_| Ok(()),
        |prey| {
            let at = u64::try_from(SECRET.as_ptr().addr())?;
            let read = File::open(format!("/proc/{}/mem", prey.pid)).and_then(|memory| {
                let mut seen = [0; 8];
                memory.read_exact_at(&mut seen, at)?;
                if seen == SECRET { Ok(()) } else { Err(io::Error::other("something else")) }
            });
            Ok(Verdict::from(read))
        },
    )
}

/// A signal that does no harm: it continues what was stopped.
pub(super) fn signal_tenant(stage: &Stage) -> Result<Verdict> {
    stage.pair(|_| Ok(()), |prey| Ok(signalled(prey.pid)))
}

pub(super) fn signal_agent(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| Ok(signalled(Pid::from_raw(stage.agent))))
}

fn signalled(pid: Pid) -> Verdict {
    Verdict::from(kill(pid, Signal::SIGCONT).map_err(io::Error::from))
}

pub(super) fn bpf_load(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| Ok(Verdict::from(bpf::allow_all_devices())))
}

/// The first map that there is, with one of the lab's own in case there is none.
pub(super) fn bpf_map(stage: &Stage) -> Result<Verdict> {
    let _some = bpf::make_map()?;
    stage.alone(|| Ok(Verdict::from(bpf::some_map())))
}

/// A pin beside those of the wall, opened by its path.
pub(super) fn bpf_pin(stage: &Stage) -> Result<Verdict> {
    let bait = stage.pins.join("bait");
    let path = CString::new(bait.as_os_str().as_bytes())?;
    bpf::pin(&bpf::allow_all_devices()?, &path).with_context(|| format!("{}", bait.display()))?;
    let outcome = stage.alone(|| Ok(Verdict::from(bpf::open_pin(&path))));
    let _gone = fs::remove_file(&bait);
    outcome
}

/// Of a name that the lab puts on the same file system, so that an attack that succeeds harms nobody.
pub(super) fn unlink(stage: &Stage) -> Result<Verdict> {
    let bait = stage.pins.join("bait");
    symlink("nowhere", &bait).with_context(|| format!("{}", bait.display()))?;
    let outcome = stage.alone(|| Ok(Verdict::from(fs::remove_file(&bait))));
    let _gone = fs::remove_file(&bait);
    outcome
}

/// In a mount namespace of its own, so that an attack that succeeds harms nobody.
pub(super) fn mount(stage: &Stage) -> Result<Verdict> {
    stage.alone(|| {
        unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace")?;
        let nothing = None::<&str>;
        mount_at(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
        let over = mount_at(Some("tmpfs"), &stage.pins, Some("tmpfs"), MsFlags::empty(), nothing);
        Ok(Verdict::from(over.map_err(io::Error::from)))
    })
}
