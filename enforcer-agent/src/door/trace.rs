//! The door of the trace room: what is asked of the traces that are kept. Whoever asks says on whose behalf.

use std::fmt;
use std::sync::Arc;

use enforcer_proto::v1;
use tokio::sync::{mpsc, oneshot, watch};
use zeroize::Zeroizing;

use super::policy::Closed;
use super::records::Scope;

/// Commands that wait for the trace room.
pub const WAITING_MAX: usize = 64;
/// Records between what reads them and one caller.
pub const AHEAD_MAX: usize = 64;

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, Refused>>;

/// Records as they are found. What ends with an error is not whole.
pub type Found = mpsc::Receiver<Result<v1::Record, Refused>>;

/// What the trace room can be asked.
#[derive(Debug)]
pub enum Command {
    /// Records that are kept, oldest first.
    Query(Box<v1::QueryRequest>, Scope, Reply<Found>),
    /// The same, summed up.
    Summary(Box<v1::SummaryRequest>, Scope, Reply<v1::SummaryResponse>),
    /// Records that are kept, then those to come as they become durable. `follow` says whether it ends.
    Stream(Box<v1::ObserveRequest>, Scope, Reply<Found>),
    /// How the store is.
    Status(Scope, Reply<v1::TraceStatusResponse>),
    /// Seal what waits in the log now.
    Seal(Reply<()>),
    /// A file's data key.
    Unwrap(Unwrap, Reply<Zeroizing<Vec<u8>>>),
    /// Destroy a tenant's key; the answer is the receipt.
    Destroy(Destroy, Reply<String>),
}

/// A wish for a file's data key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unwrap {
    /// `masterKeyID` of the file's key material.
    pub master_key_id: String,
    /// Its `wrappedDEK`.
    pub wrapped_key: String,
    /// Who asks, for the record.
    pub actor: String,
}

/// An order to make a tenant's traces unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destroy {
    /// Whose.
    pub tenant: String,
    /// Why, for the receipt.
    pub reason: String,
    /// Who says so, for the record.
    pub actor: String,
}

/// Why there is no answer, or no more of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The question makes no sense.
    #[error("{0}")]
    Senseless(String),
    /// There is no such tenant, key or record.
    #[error("{0}")]
    Unknown(String),
    /// It is there, and can never be had again.
    #[error("{0}")]
    Gone(String),
    /// Too many ask at once.
    #[error("{0}")]
    Busy(String),
    /// It took longer than a question may.
    #[error("{0}")]
    Late(String),
    /// The store is not open, or the disk says no.
    #[error("{0}")]
    Away(String),
    /// What was kept is not what comes back.
    #[error("{0}")]
    Damaged(String),
}

/// What the status of the node says of its traces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// Records that were not kept since the start.
    pub losses: Vec<v1::Loss>,
    /// Sentences: a disk that is full, or does not answer.
    pub problems: Vec<String>,
}

/// Says it. Never waits.
pub type Tells = Arc<dyn Fn() -> Told + Send + Sync>;

/// The sending side of the door.
#[derive(Clone)]
pub struct TraceDoor {
    commands: mpsc::Sender<Command>,
    durable: watch::Receiver<u64>,
    told: Tells,
}

impl fmt::Debug for TraceDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceDoor").field("durable", &self.durable).finish_non_exhaustive()
    }
}

impl TraceDoor {
    /// A door to a room that reads `commands`, and says up to which sequence number every record is on disk.
    #[must_use]
    pub const fn new(commands: mpsc::Sender<Command>, durable: watch::Receiver<u64>, told: Tells) -> Self {
        Self { commands, durable, told }
    }

    /// What the status of the node says of its traces.
    #[must_use]
    pub fn told(&self) -> Told {
        (self.told)()
    }

    /// Asks the room.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }

    /// Up to which sequence number every record is on disk, now and whenever that changes.
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.durable.clone()
    }
}
