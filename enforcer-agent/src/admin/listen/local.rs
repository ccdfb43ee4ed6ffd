//! The local door: a Unix socket. Who may call is decided by the credentials that the kernel gives for the
//! peer, not by the file's mode alone.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use super::ListenError;
use crate::admin::caller::Caller;
use crate::admin::connection::{Connection, Io};
use crate::admin::limits::{LOCAL_CONNECTIONS_MAX, REFUSED_CONNECTIONS_MAX};

const DIRECTORY_MODE: u32 = 0o755;

/// The local door, open.
#[derive(Debug)]
pub struct LocalDoor {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's name.
    file: (u64, u64),
    allowed: BTreeSet<u32>,
}

impl LocalDoor {
    /// Opens the socket for root, the agent's own user and some others. A socket that nobody answers on is
    /// replaced; there is no moment at which others could connect.
    ///
    /// # Errors
    /// Another agent answers there, or the file system refuses.
    pub fn open(path: &Path, others: &BTreeSet<u32>) -> Result<Self, ListenError> {
        let place = path.display().to_string();
        let directory = path.parent().unwrap_or(Path::new("/"));
        if !directory.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(directory)
                .map_err(|error| ListenError::io("create", directory.display(), error))?;
        }
        vacate(path)?;
        let hidden = Hidden::beside(path).map_err(|error| ListenError::io("prepare", &place, error))?;
        let listener =
            UnixListener::bind(&hidden.socket).map_err(|error| ListenError::io("bind", &place, error))?;
        // With other users allowed anybody may connect, and be refused by their credentials.
        let mode = if others.is_empty() { 0o600 } else { 0o666 };
        let file = fs::set_permissions(&hidden.socket, Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&hidden.socket, path))
            .and_then(|()| identity(path))
            .map_err(|error| ListenError::io("put in place", &place, error))?;
        let mut allowed = others.clone();
        allowed.extend([0, nix::unistd::geteuid().as_raw()]);
        Ok(Self { listener, path: path.to_owned(), file, allowed })
    }

    /// Accepts until the receiver is gone.
    pub(in crate::admin) async fn accept(self, connections: mpsc::Sender<Connection>) {
        let places = Arc::new(Semaphore::new(LOCAL_CONNECTIONS_MAX));
        let refused = Arc::new(Semaphore::new(REFUSED_CONNECTIONS_MAX));
        loop {
            let stream = tokio::select! {
                () = connections.closed() => return,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        super::network::rest_after(&error).await;
                        continue;
                    }
                },
            };
            let caller = self.caller(&stream);
            let places = if caller == Caller::Refused { &refused } else { &places };
            // Who finds no place is dropped at once: waiting would cost the others theirs.
            let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
                warn!(%caller, "connection dropped: too many at once");
                continue;
            };
            if connections.send(Connection::new(Io::Local(stream), caller, None, permit)).await.is_err() {
                return;
            }
        }
    }

    fn caller(&self, stream: &UnixStream) -> Caller {
        match stream.peer_cred() {
            Ok(peer) if self.allowed.contains(&peer.uid()) => Caller::Local { uid: peer.uid() },
            Ok(peer) => {
                warn!(
                    uid = peer.uid(),
                    pid = peer.pid(),
                    socket = %self.path.display(),
                    "local caller refused: its user is not allowed"
                );
                Caller::Refused
            }
            Err(error) => {
                warn!(%error, "local caller refused: the kernel does not say who it is");
                Caller::Refused
            }
        }
    }
}

impl Drop for LocalDoor {
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
fn vacate(path: &Path) -> Result<(), ListenError> {
    let place = path.display();
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(ListenError::io("look at", place, error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NoSocket(place.to_string()));
    }
    match StdUnixStream::connect(path) {
        Ok(_) => Err(ListenError::InUse(place.to_string())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_user_who_is_not_allowed_is_refused_by_the_kernels_word() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("s");
        let mut door = LocalDoor::open(&path, &BTreeSet::from([4242])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
        let _caller = UnixStream::connect(&path).await.unwrap();
        let (stream, _) = door.listener.accept().await.unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        assert_eq!(door.caller(&stream), Caller::Local { uid });
        door.allowed.remove(&uid);
        assert_eq!(door.caller(&stream), Caller::Refused);
    }
}
