//! Telling the service manager something (sd_notify(3), sd_pid_notify_with_fds(3)): one datagram to the socket that it
//! named, perhaps with a descriptor.

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socket,
};
use tracing::warn;

/// The variable that names its socket.
pub const SOCKET: &str = "NOTIFY_SOCKET";

/// Tells it. That it does not hear is no reason to stop.
pub fn tell(manager: &OsStr, state: &[u8], descriptor: Option<BorrowedFd<'_>>) {
    if let Err(error) = send(manager, state, descriptor) {
        warn!(%error, "the service manager could not be told");
    }
}

fn send(manager: &OsStr, state: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let address = match manager.as_bytes() {
        [b'@', name @ ..] => UnixAddr::new_abstract(name)?,
        path => UnixAddr::new(path)?,
    };
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let raw: Vec<RawFd> = descriptor.iter().map(|descriptor| descriptor.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(state)], control, MsgFlags::MSG_NOSIGNAL, Some(&address))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn the_manager_gets_one_datagram() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1", None).unwrap();
        let mut buffer = [0; 16];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }
}
