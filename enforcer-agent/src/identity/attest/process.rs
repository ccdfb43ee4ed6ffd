//! A process that is held on to: whatever is asked of it later cannot be answered for another that was given
//! its number.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerPidfd;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use super::{AttestError, pidfd, procfs};

/// A state of the main thread in which the kernel no longer moves it with its process: ended, not yet reaped.
const ENDED: [char; 3] = ['Z', 'X', 'x'];

/// The process that made a connection.
#[derive(Debug)]
pub struct Process {
    pidfd: AsyncFd<OwnedFd>,
    pid: i32,
    serial: u64,
}

impl Process {
    /// The process that connected this socket, as the kernel remembers it since 6.5; by number on older ones.
    pub(in crate::identity) fn peer(stream: &UnixStream) -> Result<Self, AttestError> {
        match getsockopt(stream, PeerPidfd) {
            Ok(pidfd) => Self::held(pidfd),
            Err(nix::Error::ENOPROTOOPT) => {
                let accepted = procfs::ticks_since_boot().map_err(|error| kernel("read the clock", error))?;
                Self::peer_by_number(stream, accepted)
            }
            // What 6.5, 6.10 and a socket without a peer say, in this order.
            Err(nix::Error::EINVAL | nix::Error::ESRCH | nix::Error::ENODATA) => Err(AttestError::Gone),
            Err(error) => Err(kernel("ask who connected", error.into())),
        }
    }

    /// The same, by the number that the kernel noted when the socket was connected. The number may have gone to
    /// another process since. One that started after the connection was accepted, in clock ticks since boot, is
    /// certainly another. What is left is the moment between connecting and being accepted, in which all numbers would have to be used up.
    pub(super) fn peer_by_number(stream: &UnixStream, accepted: u64) -> Result<Self, AttestError> {
        let peer = stream.peer_cred().map_err(|error| kernel("ask who connected", error))?;
        // Zero is a process of another namespace.
        let pid = peer.pid().filter(|pid| *pid > 0).ok_or(AttestError::Gone)?;
        let before = procfs::stat(pid).map_err(gone_or("read /proc"))?;
        let process = Self::held(pidfd::open(pid).map_err(gone_or("open the process"))?)?;
        let after = procfs::stat(pid).map_err(gone_or("read /proc"))?;
        // Alive after it was read: so what was read was this process's, and no successor's.
        process.check_alive()?;
        if before.started != after.started || after.started > accepted {
            return Err(AttestError::Younger { pid });
        }
        Ok(process)
    }

    fn held(pidfd: OwnedFd) -> Result<Self, AttestError> {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        let pid = procfs::pid_of(pidfd.as_raw_fd()).map_err(|error| kernel("read /proc", error))?;
        let pidfd = pidfd::watch(pidfd).map_err(|error| kernel("watch the process", error))?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Ok(Self { pidfd, pid: pid.ok_or(AttestError::Gone)?, serial })
    }

    /// Its number, for the log.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Tells connections apart: no two that this agent accepted have the same.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// Waits for its end. The kernel says so: nothing is polled.
    pub async fn ended(&self) {
        let _ended_or_unknowable = self.pidfd.readable().await;
    }

    /// Refuses a process that has ended, and one whose main thread has: that thread is no longer moved between
    /// control groups with the others, so where it is says nothing.
    pub(super) fn check(&self) -> Result<(), AttestError> {
        let stat = procfs::stat(self.pid).map_err(gone_or("read /proc"))?;
        self.check_alive()?;
        if ENDED.contains(&stat.state) { Err(AttestError::Gone) } else { Ok(()) }
    }

    /// The control group that it is in; `None` when the kernel has to be asked for a path.
    pub(super) fn group(&self) -> Result<Option<u64>, AttestError> {
        pidfd::group(self.pidfd.get_ref()).map_err(gone_or("ask for the control group"))
    }

    /// The path of that group.
    pub(super) fn group_path(&self) -> Result<String, AttestError> {
        let path = procfs::group_path(self.pid).map_err(gone_or("read /proc"))?;
        self.check_alive()?;
        Ok(path)
    }

    fn check_alive(&self) -> Result<(), AttestError> {
        match pidfd::has_ended(self.pidfd.get_ref()) {
            Ok(false) => Ok(()),
            Ok(true) => Err(AttestError::Gone),
            Err(error) => Err(kernel("look at the process", error)),
        }
    }
}

const fn kernel(operation: &'static str, error: io::Error) -> AttestError {
    AttestError::Kernel { operation, error }
}

fn gone_or(operation: &'static str) -> impl Fn(io::Error) -> AttestError {
    move |error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ESRCH) => AttestError::Gone,
        _ => kernel(operation, error),
    }
}
