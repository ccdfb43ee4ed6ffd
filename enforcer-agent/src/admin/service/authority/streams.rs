//! Streams of trust: one for each node. A node that opens another lost the first, so the newest counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use enforcer_core::identity::wire;
use enforcer_proto::v1::Trust;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::info;

use super::view::View;
use crate::door::stop::Stop;
use crate::door::upstream::REVOKED;

/// Nodes that follow at once.
const NODES_MAX: usize = 4096;

/// Who follows.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Following>>);

#[derive(Default)]
struct Following {
    /// Each with a number that no other has, and the end of what is dropped when a newer one comes.
    nodes: BTreeMap<String, (u64, oneshot::Sender<()>)>,
    next: u64,
}

/// A place among those who follow; given back when dropped.
pub(super) struct Place {
    streams: Streams,
    node: String,
    number: u64,
    replaced: oneshot::Receiver<()>,
}

impl Streams {
    /// A place for a node; its older stream ends. `None` when there are too many.
    pub(super) fn enter(&self, node: &str) -> Option<Place> {
        let mut following = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if following.nodes.len() >= NODES_MAX && !following.nodes.contains_key(node) {
            return None;
        }
        let number = following.next;
        following.next += 1;
        let (replace, replaced) = oneshot::channel();
        following.nodes.insert(node.to_owned(), (number, replace));
        Some(Place { streams: self.clone(), node: node.to_owned(), number, replaced })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut following = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if following.nodes.get(&self.node).is_some_and(|(number, _)| *number == self.number) {
            following.nodes.remove(&self.node);
        }
    }
}

/// Sends what the node sees, whole, now and whenever it changes.
pub(super) fn follow(
    mut view: View,
    node: String,
    mut place: Place,
    mut stop: Stop,
) -> ReceiverStream<Result<Trust, Status>> {
    let (send, stream) = mpsc::channel(1);
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = send_changes(&mut view, &node, &send) => ended,
            () = send.closed() => None,
            () = stop.wait() => Some(Status::unavailable("the agent is stopping; try again")),
            _ = &mut place.replaced => Some(Status::aborted("the node opened another stream")),
        };
        if let Some(status) = ended {
            info!(%node, reason = status.message(), "a node's stream of trust ends");
            let _full_or_gone = send.try_send(Err(status));
        }
    });
    ReceiverStream::new(stream)
}

async fn send_changes(
    view: &mut View,
    node: &str,
    send: &mpsc::Sender<Result<Trust, Status>>,
) -> Option<Status> {
    let mut last = None;
    loop {
        let Some(seen) = view.of(node) else { return Some(Status::permission_denied(REVOKED)) };
        if last.as_ref() != Some(&seen) {
            if send.send(Ok(wire::write(&seen))).await.is_err() {
                return None;
            }
            last = Some(seen);
        }
        if !view.changed().await {
            return Some(Status::unavailable("the authority is stopping; try again"));
        }
    }
}
