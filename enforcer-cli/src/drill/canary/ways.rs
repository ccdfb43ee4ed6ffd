//! One try each: what the system answered, in the words of a drill.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// How long an answer may take; a wall that drops packets is silent.
const PATIENCE: Duration = Duration::from_millis(200);
/// Of `/dev/null`, which is nobody's.
const NULL: (u64, u64) = (1, 3);

/// What came of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It worked.
    Through,
    /// The wall refused: EPERM, or silence.
    Held,
    /// Something else is in the way.
    Unclear,
}

impl From<io::Result<()>> for Outcome {
    fn from(result: io::Result<()>) -> Self {
        let Err(error) = result else { return Self::Through };
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ETIMEDOUT | libc::EAGAIN | libc::EINPROGRESS) => {
                Self::Held
            }
            None if error.kind() == io::ErrorKind::TimedOut => Self::Held,
            _ => Self::Unclear,
        }
    }
}

/// On the loopback interface of the drill's namespace.
pub(super) fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Connects: that alone is a crossing.
pub(super) fn connect(port: u16) -> Outcome {
    Outcome::from(TcpStream::connect_timeout(&local(port), PATIENCE).map(drop))
}

/// Connects and waits for what comes back.
pub(super) fn converse(port: u16) -> Outcome {
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&local(port), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])
    };
    Outcome::from(talk())
}

/// Sends a datagram; whether it arrived is for the other end to say.
pub(super) fn send(socket: &UdpSocket, port: u16, sign: u8) -> Outcome {
    Outcome::from(socket.send_to(&[sign], local(port)).map(drop))
}

/// Sends a datagram, and waits until it comes back.
pub(super) fn exchange(port: u16, sign: u8) -> Outcome {
    let talk = || {
        let socket = UdpSocket::bind(local(0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(&[sign], local(port))?;
        socket.recv_from(&mut [0]).map(drop)
    };
    Outcome::from(talk())
}

/// Opens a device without a driver: what passes the gate finds nobody behind it.
pub(super) fn open(path: &Path) -> Outcome {
    match File::options().read(true).write(true).open(path) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) => Outcome::Through,
        other => Outcome::from(other.map(drop)),
    }
}

/// Makes a device node, and takes it away again.
pub(super) fn make(path: &Path, major: u64, minor: u64) -> Outcome {
    let mode = Mode::from_bits_truncate(0o600);
    let made = mknod(path, SFlag::S_IFCHR, mode, makedev(major, minor)).map_err(io::Error::from);
    let _gone = fs::remove_file(path);
    Outcome::from(made)
}

/// Makes a device node that anybody may make.
pub(super) fn make_null(path: &Path) -> Outcome {
    make(path, NULL.0, NULL.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_walls_own_words_count_as_its_refusal() {
        let of = |code: i32| Outcome::from(Err(io::Error::from_raw_os_error(code)));
        assert_eq!(Outcome::from(Ok(())), Outcome::Through);
        assert_eq!([libc::EPERM, libc::ETIMEDOUT].map(of), [Outcome::Held; 2]);
        assert_eq!([libc::ECONNREFUSED, libc::ENOENT, libc::ENETUNREACH].map(of), [Outcome::Unclear; 3]);
    }

    #[test]
    fn without_a_wall_what_is_tried_goes_through() {
        let listener = std::net::TcpListener::bind(local(0)).unwrap();
        assert_eq!(connect(listener.local_addr().unwrap().port()), Outcome::Through);
        assert_eq!(open(Path::new("/dev/null")), Outcome::Through);
        assert_eq!(open(Path::new("/dev/there-is-no-such-device")), Outcome::Unclear);
    }
}
