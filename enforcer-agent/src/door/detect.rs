//! The door of the detection room: what operators ask of it.

use enforcer_core::policy::model::Name;
use enforcer_proto::v1;
use tokio::sync::{mpsc, oneshot};

use super::policy::Closed;

/// Commands that wait for the detection room.
pub const WAITING_MAX: usize = 64;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// What the detection room can be asked.
#[derive(Debug)]
pub enum Command {
    /// Rules, what is usual, and what is being done; of one tenant or of all.
    List(Option<Name>, oneshot::Sender<v1::ListDetectionResponse>),
    /// Learn no more of a tenant, or go on.
    Freeze(Freeze, Reply<Vec<v1::Baseline>>),
    /// End a response before its time.
    End(End, Reply<v1::Response>),
}

/// An operator's word about what is usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Whose.
    pub tenant: Name,
    /// By which rule; by all of them when absent.
    pub rule: Option<Name>,
    /// Whether to stop or to go on.
    pub frozen: bool,
    /// Who says so.
    pub actor: String,
}

/// An operator's word about a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its number.
    pub id: String,
    /// Who says so.
    pub actor: String,
}

/// Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nothing was learned of that tenant, or not by that rule.
    #[error("nothing is being learned of tenant {0:?} there")]
    NoBaseline(Name),
    /// It has ended, or never was.
    #[error("there is no response {0:?} now")]
    NoResponse(String),
}

/// The sending side of the door.
#[derive(Clone, Debug)]
pub struct DetectDoor {
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
}

impl DetectDoor {
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
