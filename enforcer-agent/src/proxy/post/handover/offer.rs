//! The old agent's side of a handover.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::super::listener::{Listener, Spot};
use super::message::{self, BATCH};
use super::{HandoverError, wire};
use crate::door::accept::rest_after;
use crate::door::unix::UnixSocket;

/// Only the agent's own user may connect.
const MODE: u32 = 0o600;
/// How long a successor may take for one batch.
pub(super) const SILENCE: Duration = Duration::from_secs(5);

/// Waits for a successor at `path`, and gives it the listeners that `current` lists then. Returns how many it has taken;
/// from then on they are its own, and whoever called this must not accept from them any more. A successor that dies
/// half-way has taken none: the wait goes on.
///
/// # Errors
/// The socket cannot be bound.
pub async fn offer(path: &Path, current: impl Fn() -> Vec<Listener>) -> Result<usize, HandoverError> {
    loop {
        let socket = UnixSocket::bind(path, MODE)?;
        let successor = successor(&socket).await;
        // The successor will want the name for itself, as soon as it has everything.
        drop(socket);
        let listeners = current();
        match hand(&successor, &listeners).await {
            Ok(()) => {
                info!(listeners = listeners.len(), "handed over");
                return Ok(listeners.len());
            }
            Err(error) => warn!(%error, "a successor did not take over"),
        }
    }
}

/// The next caller that is no stranger.
async fn successor(socket: &UnixSocket) -> UnixStream {
    loop {
        match socket.accept().await {
            Ok(stream) => match wire::check_peer(&stream) {
                Ok(()) => return stream,
                Err(error) => warn!(%error, "a handover was refused"),
            },
            Err(error) => rest_after(&error).await,
        }
    }
}

async fn hand(successor: &UnixStream, listeners: &[Listener]) -> Result<(), HandoverError> {
    for batch in listeners.chunks(BATCH) {
        let spots: Vec<Spot> = batch.iter().map(Listener::spot).collect();
        step(successor, &message::format(&spots), batch).await?;
    }
    step(successor, &message::format(&[]), &[]).await
}

/// Sends one frame and waits until it has arrived.
async fn step(successor: &UnixStream, frame: &[u8], batch: &[Listener]) -> Result<(), HandoverError> {
    let exchange = async {
        wire::send(successor, frame, batch).await?;
        wire::await_thanks(successor).await
    };
    timeout(SILENCE, exchange).await.map_err(|_| HandoverError::Silent)?
}
