//! Raw Ethernet frames, past every socket hook.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use enforcer_lab::frame::from_hex;
use enforcer_lab::outcome::Outcome;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::size::{PACKET_FAMILY, socklen};

/// Sends each frame through an interface of this namespace.
pub(crate) fn send(interface: &str, frames: &[String]) -> Result<Outcome> {
    let index = if_nametoindex(interface).with_context(|| format!("interface {interface}"))?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    for frame in frames {
        let bytes = from_hex(frame).context("frame: not hexadecimal")?;
        if let Err(error) = send_one(&socket, index, &bytes) {
            return Ok(Outcome::from(error));
        }
    }
    Ok(Outcome::Ok)
}

fn send_one(socket: &OwnedFd, index: u32, frame: &[u8]) -> io::Result<()> {
    // SAFETY: sockaddr_ll holds integers and arrays of integers, for which zero is a value.
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = PACKET_FAMILY;
    to.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    to.sll_halen = 6;
    // SAFETY: both pointers are valid for the lengths passed beside them.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            std::ptr::from_ref(&to).cast(),
            socklen(&to),
        )
    };
    if usize::try_from(sent) == Ok(frame.len()) { Ok(()) } else { Err(io::Error::last_os_error()) }
}
