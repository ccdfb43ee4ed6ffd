//! A Unix socket under a name: bound out of sight, given its mode, then put in place, so that there is no moment
//! at which it can be reached with another mode. Who calls is not its business.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

const DIRECTORY_MODE: u32 = 0o755;

/// Why a socket could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A system call failed.
    #[error("cannot {operation} {place}: {error}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which socket or directory.
        place: String,
        /// Why it failed.
        error: io::Error,
    },
    /// Another agent answers there.
    #[error("{0} is another agent's: it answers")]
    InUse(String),
    /// Something is there that is no socket.
    #[error("{0} is there and is no socket; move it away")]
    NoSocket(String),
}

impl SocketError {
    fn io(operation: &'static str, place: impl ToString, error: io::Error) -> Self {
        Self::Io { operation, place: place.to_string(), error }
    }
}

/// A socket that listens; its name goes when it does.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's name.
    file: (u64, u64),
}

impl UnixSocket {
    /// Binds a socket with this mode. One that nobody answers on is replaced; a directory that is missing is made.
    ///
    /// # Errors
    /// Another agent answers there, or the file system refuses.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        let place = path.display().to_string();
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(directory)
                .map_err(|error| SocketError::io("create", directory.display(), error))?;
        }
        vacate(path)?;
        let hidden = Hidden::beside(path).map_err(|error| SocketError::io("prepare", &place, error))?;
        let listener =
            UnixListener::bind(&hidden.socket).map_err(|error| SocketError::io("bind", &place, error))?;
        let file = fs::set_permissions(&hidden.socket, Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&hidden.socket, path))
            .and_then(|()| identity(path))
            .map_err(|error| SocketError::io("put in place", &place, error))?;
        Ok(Self { listener, path: path.to_owned(), file })
    }

    /// Its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next caller.
    ///
    /// # Errors
    /// What `accept` says; see [`super::accept::rest_after`].
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        // An agent that was started meanwhile has its own socket under this name.
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _gone_already = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Makes room for the socket: removes what a dead agent left.
fn vacate(path: &Path) -> Result<(), SocketError> {
    let place = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SocketError::io("look at", place, error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket(place.to_string()));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(SocketError::InUse(place.to_string())),
        Err(_) => Ok(()),
    }
}

/// A directory that only the agent may enter, in which the socket gets its mode before it gets its name.
struct Hidden {
    directory: PathBuf,
    socket: PathBuf,
}

impl Hidden {
    fn beside(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let directory = path.with_file_name(name);
        match fs::remove_dir_all(&directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        DirBuilder::new().mode(0o700).create(&directory)?;
        Ok(Self { socket: directory.join("s"), directory })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _left_for_next_start = fs::remove_dir_all(&self.directory);
    }
}
