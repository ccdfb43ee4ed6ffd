//! The local door: a Unix socket. Who may call is decided by the credentials that the kernel gives for the
//! peer, not by the file's mode alone.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tracing::warn;

use super::ListenError;
use crate::admin::caller::Caller;
use crate::admin::connection::{Connection, Io};
use crate::admin::limits::{LOCAL_CONNECTIONS_MAX, REFUSED_CONNECTIONS_MAX};
use crate::door::accept::rest_after;
use crate::door::unix::UnixSocket;

/// The local door, open.
#[derive(Debug)]
pub struct LocalDoor {
    socket: UnixSocket,
    allowed: BTreeSet<u32>,
}

impl LocalDoor {
    /// Opens the socket for root, the agent's own user and some others. A socket that nobody answers on is
    /// replaced; there is no moment at which others could connect.
    ///
    /// # Errors
    /// Another agent answers there, or the file system refuses.
    pub fn open(path: &Path, others: &BTreeSet<u32>) -> Result<Self, ListenError> {
        // With other users allowed anybody may connect, and be refused by their credentials.
        let mode = if others.is_empty() { 0o600 } else { 0o666 };
        let socket = UnixSocket::bind(path, mode)?;
        let mut allowed = others.clone();
        allowed.extend([0, nix::unistd::geteuid().as_raw()]);
        Ok(Self { socket, allowed })
    }

    /// Accepts until the receiver is gone.
    pub(in crate::admin) async fn accept(self, connections: mpsc::Sender<Connection>) {
        let places = Arc::new(Semaphore::new(LOCAL_CONNECTIONS_MAX));
        let refused = Arc::new(Semaphore::new(REFUSED_CONNECTIONS_MAX));
        loop {
            let stream = tokio::select! {
                () = connections.closed() => return,
                accepted = self.socket.accept() => match accepted {
                    Ok(stream) => stream,
                    Err(error) => {
                        rest_after(&error).await;
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
                    socket = %self.socket.path().display(),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[tokio::test]
    async fn a_user_who_is_not_allowed_is_refused_by_the_kernels_word() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("s");
        let mut door = LocalDoor::open(&path, &BTreeSet::from([4242])).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o666);
        let _caller = UnixStream::connect(&path).await.unwrap();
        let stream = door.socket.accept().await.unwrap();
        let uid = nix::unistd::geteuid().as_raw();
        assert_eq!(door.caller(&stream), Caller::Local { uid });
        door.allowed.remove(&uid);
        assert_eq!(door.caller(&stream), Caller::Refused);
    }
}
