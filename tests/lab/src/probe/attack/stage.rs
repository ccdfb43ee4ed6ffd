//! Who takes part in an attack: a process of the owner's group, which opens the device, and one of another group,
//! which wants it. Both are forked from this process, which belongs to neither.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use enforcer_lab::verdict::Verdict;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

/// How long one side may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Where an attack takes place.
#[derive(Args, Clone, Debug)]
pub(crate) struct Stage {
    /// The device node.
    #[arg(long)]
    pub node: PathBuf,
    /// A device node whose driver can map memory; it may be the same.
    #[arg(long)]
    pub mapped: PathBuf,
    /// Directory of the control group whose tenant was granted the devices.
    #[arg(long)]
    pub owner: PathBuf,
    /// Directory of the attacker's control group.
    #[arg(long)]
    pub other: PathBuf,
    /// Directory of a control group that belongs to nobody.
    #[arg(long)]
    pub elsewhere: PathBuf,
    /// A directory of the agent's pins.
    #[arg(long)]
    pub pins: PathBuf,
    /// Process number of the agent, or of one that stands for it.
    #[arg(long)]
    pub agent: i32,
}

/// The owner's device, and the line to the attacker.
pub(crate) struct Help {
    pub device: File,
    pub line: UnixStream,
}

/// The owner's process, and the line to it.
pub(crate) struct Prey {
    pub pid: Pid,
    /// The descriptor by which it holds the device.
    pub descriptor: RawFd,
    pub line: UnixStream,
}

impl Stage {
    /// The device, open for reading and writing.
    pub(crate) fn open(&self) -> io::Result<File> {
        open(&self.node)
    }

    /// Acts as a process of the attacker's group.
    pub(crate) fn alone(&self, act: impl FnOnce() -> Result<Verdict>) -> Result<Verdict> {
        within(&self.other, act)
    }

    /// Opens a device as the owner, joins the attacker's group with it, and acts there.
    pub(crate) fn held(&self, node: &Path, act: impl FnOnce(&File) -> Result<Verdict>) -> Result<Verdict> {
        within(&self.owner, || {
            let device = open(node).context("the owner opens its device")?;
            join(&self.other)?;
            act(&device)
        })
    }

    /// The owner opens the device, helps, and stays until the attacker has acted.
    pub(crate) fn pair(
        &self,
        help: impl FnOnce(&Help) -> Result<()>,
        act: impl FnOnce(&Prey) -> Result<Verdict>,
    ) -> Result<Verdict> {
        let (near, far) = UnixStream::pair()?;
        let owner = spawn(&self.owner, || {
            let device = self.open().context("the owner opens its device")?;
            let mut with = Help { device, line: far.try_clone()? };
            with.line.write_all(&with.device.as_raw_fd().to_ne_bytes())?;
            help(&with)?;
            // Until it is told to go, so that there is somebody to reach for.
            with.line.read_exact(&mut [0])?;
            Ok(Verdict::Done)
        })?;
        // The attacker, too, would not notice that the owner ended if it held the owner's end itself.
        drop(far);
        let pid = owner.pid;
        let acted = self.alone(|| {
            let mut number = [0; 4];
            let mut line = near.try_clone()?;
            line.read_exact(&mut number).context("the owner has no device")?;
            act(&Prey { pid, descriptor: RawFd::from_ne_bytes(number), line })
        });
        let _gone = (&near).write_all(&[0]);
        let helped = owner.end();
        acted.with_context(|| format!("the owner: {helped:?}"))
    }
}

/// Opens for reading and writing, as drivers' libraries do.
pub(crate) fn open(node: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(node)
}

/// Moves this process to another group.
pub(crate) fn join(group: &Path) -> Result<()> {
    fs::write(group.join("cgroup.procs"), "0").with_context(|| format!("enter {}", group.display()))
}

/// Acts in a process of its own, in a group.
pub(crate) fn within(group: &Path, act: impl FnOnce() -> Result<Verdict>) -> Result<Verdict> {
    spawn(group, act)?.end()
}

/// A process that will say what came of it.
pub(crate) struct Child {
    pid: Pid,
    said: UnixStream,
}

/// Forks, joins a group, acts, says what came of it.
fn spawn(group: &Path, act: impl FnOnce() -> Result<Verdict>) -> Result<Child> {
    fork_off(|| join(group).and_then(|()| act()))
}

/// Forks, acts where this process is, says what came of it.
pub(crate) fn fork_off(act: impl FnOnce() -> Result<Verdict>) -> Result<Child> {
    let (said, mut say) = UnixStream::pair()?;
    // SAFETY: this process has one thread, so that the child may do whatever it could do itself.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Child { pid: child, said }),
        ForkResult::Child => {
            drop(said);
            let outcome = act().map_err(|error| format!("{error:#}"));
            let told = serde_json::to_vec(&outcome).map(|text| say.write_all(&text));
            // SAFETY: ends the process at once, without running what its parent registered.
            unsafe { libc::_exit(i32::from(!matches!(told, Ok(Ok(()))))) }
        }
    }
}

impl Child {
    /// Waits for its word.
    pub(crate) fn end(mut self) -> Result<Verdict> {
        let outcome = self.word();
        let _gone = kill(self.pid, Signal::SIGKILL);
        let _reaped = waitpid(self.pid, None);
        outcome
    }

    fn word(&mut self) -> Result<Verdict> {
        let mut fds = [PollFd::new(self.said.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(LIMIT).unwrap_or(PollTimeout::MAX);
        if poll(&mut fds, limit)? == 0 {
            bail!("process {} said nothing for {LIMIT:?}", self.pid);
        }
        let mut text = Vec::new();
        self.said.read_to_end(&mut text)?;
        let outcome: Result<Verdict, String> =
            serde_json::from_slice(&text).with_context(|| format!("process {} ended", self.pid))?;
        outcome.map_err(anyhow::Error::msg)
    }
}
