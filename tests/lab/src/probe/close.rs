//! How a connection ends when its process does.

use std::io;
use std::net::TcpStream;

use nix::sys::socket::{setsockopt, sockopt};

/// With a reset: a connection that was cut off ends with its process, and does not go on sending its last words
/// into a later test.
pub(crate) fn abruptly(stream: &TcpStream) -> io::Result<()> {
    linger(stream, 1)
}

/// In good order.
pub(crate) fn in_order(stream: &TcpStream) -> io::Result<()> {
    linger(stream, 0)
}

fn linger(stream: &TcpStream, on: i32) -> io::Result<()> {
    setsockopt(stream, sockopt::Linger, &libc::linger { l_onoff: on, l_linger: 0 }).map_err(io::Error::from)
}
