//! A network namespace that is held on to, and stepping into it for a moment.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::abort;
use std::sync::Arc;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use tracing::error;

/// The namespace of whichever thread opens this.
const OWN: &str = "/proc/thread-self/ns/net";

/// Which namespace, for as long as somebody holds it: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// Why a namespace cannot be had or entered.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// There is nothing at its path (any more).
    #[error("network namespace {0} does not exist")]
    Missing(String),
    /// A system call failed.
    #[error("cannot {operation} network namespace {name}: {error}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// Which namespace.
        name: String,
        /// Why it failed.
        error: io::Error,
    },
}

/// A network namespace. Holding it keeps it alive, even when nobody lives there any more: see [`super::abandoned`].
#[derive(Clone)]
pub struct Namespace {
    file: Arc<File>,
    id: NamespaceId,
    cookie: u64,
    name: Arc<str>,
}

impl Namespace {
    /// The calling thread's: the node's own.
    ///
    /// # Errors
    /// The kernel does not show it.
    pub fn here() -> Result<Self, NamespaceError> {
        Self::open(Path::new(OWN))
    }

    /// The one that this file stands for.
    ///
    /// # Errors
    /// There is none, it is no network namespace, or it may not be entered.
    pub fn open(path: &Path) -> Result<Self, NamespaceError> {
        let name = path.display().to_string();
        // Without blocking: a path that turns out to be a pipe must not hold the agent.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        match opened {
            Ok(file) => Self::of(file, name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(NamespaceError::Missing(name)),
            Err(error) => Err(NamespaceError::System { operation: "open", name, error }),
        }
    }

    pub(super) fn of(file: File, name: String) -> Result<Self, NamespaceError> {
        let failed = |operation| {
            let name = name.clone();
            move |error| NamespaceError::System { operation, name, error }
        };
        let id = id_of(&file).map_err(failed("look at"))?;
        let cookie = inside(&file, cookie_here).flatten().map_err(failed("enter"))?;
        Ok(Self { file: Arc::new(file), id, cookie, name: name.into() })
    }

    /// Which one it is.
    #[must_use]
    pub const fn id(&self) -> NamespaceId {
        self.id
    }

    /// The kernel's number for it, which is never given again: what the eBPF programs know it by.
    #[must_use]
    pub const fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Where it was found, for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True while this path leads to it.
    #[must_use]
    pub fn is_at(&self, path: &Path) -> bool {
        std::fs::metadata(path)
            .is_ok_and(|data| self.id == NamespaceId { device: data.dev(), inode: data.ino() })
    }

    /// Does something with the calling thread inside, and comes back. It must be short: the thread may be one of the
    /// runtime's. The process ends if there is no way back, because whatever ran next on the thread would act in a
    /// tenant's network.
    ///
    /// # Errors
    /// It cannot be entered.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> Result<T, NamespaceError> {
        inside(&self.file, work).map_err(|error| NamespaceError::System {
            operation: "enter",
            name: self.name.to_string(),
            error,
        })
    }

    /// A TCP socket of it, which does not block. A socket stays its namespace's wherever it is used from.
    pub(super) fn tcp_socket(&self, family: AddressFamily) -> io::Result<OwnedFd> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        Ok(inside(&self.file, || socket(family, SockType::Stream, flags, None))??)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace")
            .field("name", &self.name)
            .field("cookie", &self.cookie)
            .finish_non_exhaustive()
    }
}

pub(super) fn id_of(file: &File) -> io::Result<NamespaceId> {
    file.metadata().map(|data| NamespaceId { device: data.dev(), inode: data.ino() })
}

fn inside<T>(namespace: &File, work: impl FnOnce() -> T) -> io::Result<T> {
    let _back = Back(File::open(OWN)?);
    setns(namespace, CloneFlags::CLONE_NEWNET)?;
    Ok(work())
}

/// The way back, taken when this is dropped: after an error and in a panic too.
struct Back(File);

impl Drop for Back {
    fn drop(&mut self) {
        if let Err(error) = setns(&self.0, CloneFlags::CLONE_NEWNET) {
            error!(%error, "a thread is lost in a workload's network namespace");
            abort();
        }
    }
}

fn cookie_here() -> io::Result<u64> {
    let probe = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    cookie_of(&probe)
}

/// Cookie of the namespace that a socket belongs to.
pub(super) fn cookie_of(socket: &impl AsFd) -> io::Result<u64> {
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes into `cookie`; both live through the call.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
