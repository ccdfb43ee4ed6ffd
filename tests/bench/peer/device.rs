//! Opening devices and using what is open.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use enforcer_lab::enter::Place;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::end::READY;
use super::svid::monotonic;
use crate::sample::Sample;

/// A request that no driver knows: it is refused by the driver, after the hooks.
const NO_REQUEST: libc::c_ulong = 0x5a00;
const PAGE: usize = 4096;
/// How long a device may go on being opened.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a device is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Use {
    /// One byte is read.
    Read,
    /// A request that no driver knows.
    Ioctl,
    /// A page is mapped and unmapped.
    Mmap,
    /// A descriptor is sent to this process by itself, received and closed.
    Receive,
}

/// What one of something takes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Each {
    /// The median over the batches, in nanoseconds.
    pub(crate) ns: f64,
}

fn timed(batches: usize, batch: u32, mut once: impl FnMut() -> Result<()>) -> Result<Each> {
    let mut each = Vec::with_capacity(batches);
    for _ in 0..batches {
        let start = Instant::now();
        for _ in 0..batch {
            once()?;
        }
        each.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(batch));
    }
    Ok(Each { ns: Sample::from(each).median() })
}

pub(super) fn open(path: &Path, batches: usize, batch: u32) -> Result<Each> {
    timed(batches, batch, || {
        drop(File::open(path).with_context(|| path.display().to_string())?);
        Ok(())
    })
}

pub(super) fn held(what: Use, path: &Path, batches: usize, batch: u32) -> Result<Each> {
    let file = File::options().read(true).write(true).open(path)?;
    let (sender, receiver) = UnixDatagram::pair()?;
    timed(batches, batch, || match what {
        Use::Read => Ok((&file).read_exact(&mut [0_u8; 1])?),
        Use::Ioctl => {
            // SAFETY: the request has no argument, and no driver knows it.
            let answer = unsafe { libc::ioctl(file.as_raw_fd(), NO_REQUEST) };
            let error = io::Error::last_os_error();
            ensure!(answer == -1 && error.raw_os_error() == Some(libc::ENOTTY), "ioctl: {answer}, {error}");
            Ok(())
        }
        Use::Mmap => {
            // SAFETY: a fresh mapping that nothing refers to, and that goes at once.
            let unmapped = unsafe {
                let fd = file.as_raw_fd();
                let at = libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
                if at == libc::MAP_FAILED { -1 } else { libc::munmap(at, PAGE) }
            };
            if unmapped == 0 { Ok(()) } else { Err(io::Error::last_os_error().into()) }
        }
        Use::Receive => pass(&file, &sender, &receiver),
    })
}

fn pass(file: &File, sender: &UnixDatagram, receiver: &UnixDatagram) -> Result<()> {
    let fds = [file.as_raw_fd()];
    let data = [IoSlice::new(b"f")];
    sendmsg::<()>(sender.as_raw_fd(), &data, &[ControlMessage::ScmRights(&fds)], MsgFlags::empty(), None)?;
    let mut byte = [0_u8; 1];
    let mut data = [IoSliceMut::new(&mut byte)];
    let mut room = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(receiver.as_raw_fd(), &mut data, Some(&mut room), flags)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            for fd in received {
                // SAFETY: the kernel just made this descriptor for us.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
            return Ok(());
        }
    }
    bail!("the descriptor did not arrive")
}

/// Opens a device until that is refused, and says when it was.
pub(super) fn until_refused(path: &Path) -> Result<()> {
    drop(File::open(path)?);
    println!("{READY}");
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        match File::open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                println!("{}", monotonic()?);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("it was never refused")
}

/// One that tries, from the other side.
pub(crate) struct Trying {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Trying {
    /// Starts it, and waits until it has opened the device once.
    pub(crate) fn start(place: &Place, path: &str) -> Result<Self> {
        let mut command = place.command(std::env::current_exe()?)?;
        command.args(["peer", "until-refused", path]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("one that tries")?;
        let out = BufReader::new(child.stdout.take().context("standard output")?);
        let mut trying = Self { child, out };
        let said = trying.line()?;
        ensure!(said == READY, "one that tries: {said}");
        Ok(trying)
    }

    /// When it was refused, in nanoseconds of the monotonic clock.
    pub(crate) fn refused(mut self) -> Result<u64> {
        let said = self.line()?;
        said.parse().with_context(|| format!("one that tries: {said}"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.out.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Stack of a process that only waits.
const STACK_BYTES: usize = 16 * 1024;

/// Makes processes that wait, the last `holders` of them with the device open, until this one is ended.
pub(super) fn crowd(path: &Path, processes: usize, holders: usize) -> Result<()> {
    let idle = processes.saturating_sub(holders);
    let mut stacks = vec![0_u8; processes * STACK_BYTES];
    let mut device = None;
    for (number, stack) in stacks.chunks_exact_mut(STACK_BYTES).enumerate() {
        if number == idle {
            device = Some(File::open(path)?);
        }
        let wait = Box::new(|| {
            // SAFETY: plain system calls; it is ended with its parent.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::pause();
            }
            0
        });
        let flags = nix::sched::CloneFlags::CLONE_VM;
        // SAFETY: the child makes two system calls on a stack of its own, and is ended with its parent.
        unsafe { nix::sched::clone(wait, stack, flags, None) }.context("a process that waits")?;
    }
    if let Some(device) = &device {
        ensure!(device.as_fd().as_raw_fd() > 2, "the device is standard input");
    }
    println!("{READY}");
    io::stdout().flush()?;
    loop {
        // SAFETY: a plain system call.
        unsafe { libc::pause() };
    }
}
