//! `peer.Peer`: a relay is told of every peer, then of what changes as policies come into force.

use std::pin::Pin;
use std::sync::Arc;

use enforcer_core::hubble::peers::{Peers, changes};
use enforcer_proto::hubble::peer::peer_server::Peer;
use enforcer_proto::hubble::peer::{ChangeNotification, NotifyRequest};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::limits::AHEAD;
use super::observer::versioned;
use super::room::{Room, scope, tenant};
use crate::door::records::Scope;
use crate::door::stop::Stop;

type Item = Result<ChangeNotification, Status>;

pub(super) struct PeerCalls {
    room: Arc<Room>,
    stop: Stop,
}

impl PeerCalls {
    pub(super) const fn new(room: Arc<Room>, stop: Stop) -> Self {
        Self { room, stop }
    }
}

#[tonic::async_trait]
impl Peer for PeerCalls {
    type NotifyStream = Pin<Box<dyn Stream<Item = Item> + Send>>;

    async fn notify(&self, request: Request<NotifyRequest>) -> Result<Response<Self::NotifyStream>, Status> {
        let scope = scope(&request)?;
        let place = self.room.stream()?;
        let (out, changes) = mpsc::channel(AHEAD);
        let (room, mut stop) = (Arc::clone(&self.room), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = tell(&room, scope, &out, place) => {}
                () = out.closed() => {}
                () = stop.wait() => {
                    let _gone = out.try_send(Err(Status::unavailable("the agent is stopping")));
                }
            }
        });
        Ok(versioned(Box::pin(ReceiverStream::new(changes))))
    }
}

/// Until the policy room is gone, or nobody listens.
async fn tell(room: &Room, scope: Scope, out: &mpsc::Sender<Item>, _place: OwnedSemaphorePermit) {
    let mut in_force = room.hubble.in_force.clone();
    let mut known = Peers::new();
    loop {
        in_force.mark_unchanged();
        let peers = room.hubble.node.directory.peers(&room.names(), tenant(&scope));
        for change in changes(&known, &peers) {
            if out.send(Ok(change)).await.is_err() {
                return;
            }
        }
        known = peers;
        if in_force.changed().await.is_err() {
            return;
        }
    }
}
