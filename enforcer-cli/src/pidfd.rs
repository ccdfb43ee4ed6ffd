//! A process that cannot turn into another one while we look at it. The only unsafe code here: two system calls
//! that no crate of ours wraps.

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::sys::signal::Signal;

/// A process, by a descriptor that stays its own when its number is given to another.
#[derive(Debug)]
pub(crate) struct PidFd(OwnedFd);

impl PidFd {
    /// The process that has this number now.
    pub(crate) fn open(pid: libc::pid_t) -> io::Result<Self> {
        let flags: libc::c_uint = 0;
        // SAFETY: takes two integers and touches no memory.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) };
        let fd = i32::try_from(check(fd)?).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Sends a signal; `None` only asks whether the process is there and whether we may.
    pub(crate) fn send(&self, signal: Option<Signal>) -> io::Result<()> {
        let (number, flags) = (signal.map_or(0, |signal| signal as libc::c_int), 0 as libc::c_uint);
        let info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: the descriptor is open for as long as `self`; without an info the kernel fills one in, and reads
        // no memory of ours.
        check(unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), number, info, flags)
        })?;
        Ok(())
    }
}

fn check(result: libc::c_long) -> io::Result<libc::c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sleeper::Sleeper;

    #[test]
    fn a_signal_reaches_the_process_and_none_asks_for_it() {
        let mut sleeper = Sleeper::start();
        let pid = PidFd::open(sleeper.pid()).unwrap();
        pid.send(None).unwrap();
        pid.send(Some(Signal::SIGUSR1)).unwrap();
        assert_eq!(sleeper.ended_by(), Some(libc::SIGUSR1));
        assert_eq!(pid.send(None).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn no_process_has_no_descriptor() {
        assert!(PidFd::open(0).is_err());
        assert!(PidFd::open(libc::pid_t::MAX).is_err());
    }
}
