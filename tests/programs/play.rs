//! Processes in control groups of their own: an agent's, and workloads' of the fixture. One forked process plays all of
//! them, one after the other: a socket belongs to the group in which it was made, and a call to the one it is made in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_common::maps::{ORIGIN_LEVEL, ORIGIN_OPTION, OriginValue};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};

/// The groups. Dropping them removes them.
pub(crate) struct Groups {
    pub(crate) agent: PathBuf,
    pub(crate) red: PathBuf,
    pub(crate) blue: PathBuf,
}

impl Groups {
    pub(crate) fn make(root: &Path) -> Result<Self> {
        let group = |name: &str| -> Result<PathBuf> {
            let path = root.join(name);
            fs::create_dir(&path)?;
            Ok(path)
        };
        Ok(Self { agent: group("agent")?, red: group("red")?, blue: group("blue")? })
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in [&self.agent, &self.red, &self.blue] {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The id of a group.
pub(crate) fn id(group: &Path) -> Result<u64> {
    Ok(fs::metadata(group)?.ino())
}

/// This process joins a group.
pub(crate) fn join(group: &Path) -> Result<()> {
    fs::write(group.join("cgroup.procs"), "0").with_context(|| format!("join {}", group.display()))
}

/// Runs a play in a process of its own. The tests have one thread, so anything may be done in it.
pub(crate) fn play(act: impl FnOnce() -> Result<()>) -> Result<()> {
    let (ours, theirs) = pipe()?;
    // SAFETY: this process has one thread, so the child may do anything; it ends without returning.
    match unsafe { fork() }? {
        ForkResult::Child => {
            let said = match catch_unwind(AssertUnwindSafe(act)) {
                Ok(Ok(())) => String::new(),
                Ok(Err(error)) => format!("{error:#}"),
                Err(_) => "panicked".to_owned(),
            };
            let code = i32::from(!said.is_empty());
            let _ = fs::File::from(theirs).write_all(said.as_bytes());
            // SAFETY: ends the process without running what belongs to the parent.
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let mut said = String::new();
            fs::File::from(ours).read_to_string(&mut said)?;
            match waitpid(child, None)? {
                WaitStatus::Exited(_, 0) => Ok(()),
                other => bail!("{said} ({other:?})"),
            }
        }
    }
}

/// A connection of an application, and the agent's end of it.
pub(crate) struct Pair {
    pub(crate) client: TcpStream,
    pub(crate) accepted: TcpStream,
}

/// Connects where `to` says, and accepts at the listener what came of it.
pub(crate) fn connect(listener: &TcpListener, to: &str) -> Result<Pair> {
    let to: SocketAddr = to.parse()?;
    let client = TcpStream::connect(to).with_context(|| format!("connect to {to}"))?;
    let accepted = accept(listener, &client)?;
    Ok(Pair { client, accepted })
}

/// The connection of this client.
pub(crate) fn accept(listener: &TcpListener, client: &TcpStream) -> Result<TcpStream> {
    let (accepted, from) = listener.accept()?;
    ensure!(from == client.local_addr()?, "accepted {from}");
    Ok(accepted)
}

/// A socket option of any type.
pub(crate) fn option<T: Default>(
    socket: &impl std::os::fd::AsRawFd,
    level: i32,
    name: i32,
) -> std::io::Result<T> {
    let mut value = T::default();
    let mut length = libc::socklen_t::try_from(size_of::<T>()).map_err(std::io::Error::other)?;
    // SAFETY: the value is as long as `length` says, and of integers only wherever this is called.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    if failed != 0 {
        return Err(std::io::Error::last_os_error());
    }
    if usize::try_from(length).map_err(std::io::Error::other)? != size_of::<T>() {
        return Err(std::io::Error::other(format!("{length} bytes")));
    }
    Ok(value)
}

/// What the agent is told of a connection.
pub(crate) fn origin(socket: &TcpStream) -> std::io::Result<OriginValue> {
    option(socket, ORIGIN_LEVEL, ORIGIN_OPTION)
}

/// A TCP socket that is bound and not connected.
pub(crate) fn bound(at: &str, flags: i32) -> Result<OwnedFd> {
    let address: SocketAddr = at.parse()?;
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: a plain system call; the descriptor is nobody else's.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | flags, 0);
        ensure!(fd >= 0, "no socket");
        OwnedFd::from_raw_fd(fd)
    };
    switch_on(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    let storage = nix::sys::socket::SockaddrStorage::from(address);
    nix::sys::socket::bind(socket.as_raw_fd(), &storage)?;
    Ok(socket)
}

/// Connects a socket that is there.
pub(crate) fn connect_to(socket: &OwnedFd, to: &str) -> nix::Result<()> {
    let address: SocketAddr = to.parse().map_err(|_| nix::errno::Errno::EINVAL)?;
    nix::sys::socket::connect(socket.as_raw_fd(), &nix::sys::socket::SockaddrStorage::from(address))
}

/// Sets a socket option of one word to 1.
pub(crate) fn switch_on(socket: &OwnedFd, level: i32, name: i32) -> Result<()> {
    let one = 1_i32;
    let length = libc::socklen_t::try_from(size_of::<i32>())?;
    // SAFETY: the value outlives the call.
    let failed =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const one).cast(), length) };
    ensure!(failed == 0, "{}", std::io::Error::last_os_error());
    Ok(())
}
