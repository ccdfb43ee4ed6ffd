//! The new agent's side of a handover.

use std::io;
use std::path::Path;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::message::{self, ENTRY, HEADER};
use super::offer::SILENCE;
use super::{HANDED_MAX, Handed, HandoverError, wire};

/// Takes what an agent that still runs has to hand over at `path`; nothing when there is none.
///
/// # Errors
/// Who answers there is no agent, or not all of it came. Then nothing was taken.
pub async fn take(path: &Path) -> Result<Vec<Handed>, HandoverError> {
    let predecessor = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(HandoverError::Io { operation: "reach the predecessor", error }),
    };
    wire::check_peer(&predecessor)?;
    let mut taken = Vec::new();
    loop {
        let batch = timeout(SILENCE, receive(&predecessor)).await.map_err(|_| HandoverError::Silent)??;
        let is_end = batch.is_empty();
        if taken.len() + batch.len() > HANDED_MAX {
            return Err(HandoverError::Message("too many listeners"));
        }
        taken.extend(batch);
        timeout(SILENCE, wire::thank(&predecessor)).await.map_err(|_| HandoverError::Silent)??;
        if is_end {
            return Ok(taken);
        }
    }
}

async fn receive(predecessor: &UnixStream) -> Result<Vec<Handed>, HandoverError> {
    let mut sockets = Vec::new();
    let mut head = [0; HEADER];
    wire::receive(predecessor, &mut head, &mut sockets).await?;
    let count = message::header(&head)?;
    let mut body = vec![0; count * ENTRY];
    wire::receive(predecessor, &mut body, &mut sockets).await?;
    let spots = message::entries(&body)?;
    if spots.len() != sockets.len() {
        return Err(HandoverError::Message("not as many descriptors as descriptions"));
    }
    Ok(spots.into_iter().zip(sockets).map(|(spot, socket)| Handed { spot, socket }).collect())
}
