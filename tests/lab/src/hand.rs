//! Connections that a process of a workload makes and hands to this one: whoever uses them, they stay the
//! workload's, as the kernel decides by the socket's control group.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::enter::Place;

/// Who connects on behalf of a test.
#[derive(Clone, Debug)]
pub struct Hand {
    probe: PathBuf,
    place: Place,
}

impl Hand {
    /// A process in a place, by way of the probe.
    #[must_use]
    pub const fn new(probe: PathBuf, place: Place) -> Self {
        Self { probe, place }
    }

    /// Connects; what the kernel said to `connect` is the inner result.
    ///
    /// # Errors
    /// The process could not be started, or hands over nothing.
    pub fn connect(&self, to: SocketAddr) -> Result<io::Result<TcpStream>> {
        self.dial(to, &[])
    }

    /// Connects from a port.
    ///
    /// # Errors
    /// The process could not be started, or hands over nothing.
    pub fn connect_from(&self, port: u16, to: SocketAddr) -> Result<io::Result<TcpStream>> {
        self.dial(to, &["--from-port", &port.to_string()])
    }

    fn dial(&self, to: SocketAddr, options: &[&str]) -> Result<io::Result<TcpStream>> {
        let (own, theirs) = UnixStream::pair()?;
        let mut command = self.place.command(&self.probe)?;
        command.arg("hand").arg(to.to_string()).args(options);
        let mut child = command.stdin(Stdio::from(OwnedFd::from(theirs))).spawn().context("the probe")?;
        // The command still holds the other end, without which a child that dies would not be noticed.
        drop(command);
        let received = receive(&own);
        child.wait()?;
        received
    }
}

/// Hands over a connection, or why there is none, by way of a Unix socket.
///
/// # Errors
/// The kernel refused.
pub fn give(to: RawFd, outcome: &io::Result<TcpStream>) -> Result<()> {
    match outcome {
        Ok(stream) => {
            let descriptors = [stream.as_raw_fd()];
            let rights = [ControlMessage::ScmRights(&descriptors)];
            sendmsg::<()>(to, &[IoSlice::new(&0_i32.to_ne_bytes())], &rights, MsgFlags::empty(), None)?;
        }
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(libc::ETIMEDOUT);
            sendmsg::<()>(to, &[IoSlice::new(&number.to_ne_bytes())], &[], MsgFlags::empty(), None)?;
        }
    }
    Ok(())
}

fn receive(from: &UnixStream) -> Result<io::Result<TcpStream>> {
    let mut number = [0; 4];
    let mut space = nix::cmsg_space!([RawFd; 1]);
    let mut iov = [IoSliceMut::new(&mut number)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(from.as_raw_fd(), &mut iov, Some(&mut space), flags)?;
    let (length, mut descriptor) = (message.bytes, None);
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(descriptors) = control {
            descriptor = descriptors.first().copied();
        }
    }
    match (length, descriptor, i32::from_ne_bytes(number)) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
        (4, Some(descriptor), 0) => Ok(Ok(TcpStream::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))),
        (4, None, number) if number != 0 => Ok(Err(io::Error::from_raw_os_error(number))),
        _ => bail!("the probe handed over nothing"),
    }
}
