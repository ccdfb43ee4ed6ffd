//! The door of the tunnel room: whose credentials it carries flows with, where its listeners stand, what is asked
//! of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::node::TunnelEnd;
use enforcer_core::policy::model::Name;
use enforcer_proto::v1;
use rustls::sign::CertifiedKey;
use tokio::sync::{mpsc, oneshot, watch};

use super::policy::Closed;

/// Commands that wait for the tunnel room.
pub const WAITING_MAX: usize = 64;

/// What a workload shows to the other end. The key stays inside its signer.
pub struct Credential {
    /// Whom it names.
    pub id: SpiffeId,
    /// Serial number of the leaf, hexadecimal.
    pub serial: String,
    /// End of validity, since the Unix epoch.
    pub not_after: Duration,
    /// The chain, and who signs with the leaf's key.
    pub key: Arc<CertifiedKey>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("id", &self.id)
            .field("serial", &self.serial)
            .finish_non_exhaustive()
    }
}

/// Every workload of this node that has a certificate now: the latest truth, whole. A rotation replaces one `Arc`.
pub type Credentials = watch::Receiver<Arc<BTreeMap<Name, Arc<Credential>>>>;

/// Workloads whose listeners stand: who compiles the policy asks, so that the kernel sends nothing where nobody is.
pub type Ends = watch::Receiver<Arc<BTreeMap<Name, TunnelEnd>>>;

/// What the tunnel room can be asked.
#[derive(Debug)]
pub enum Command {
    /// What is carried now, of one tenant or of all.
    List(Option<Name>, oneshot::Sender<v1::ListTunnelsResponse>),
    /// OpenMetrics text.
    Metrics(oneshot::Sender<String>),
}

/// The sending side of the door.
#[derive(Clone, Debug)]
pub struct TunnelDoor {
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
}

impl TunnelDoor {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}
