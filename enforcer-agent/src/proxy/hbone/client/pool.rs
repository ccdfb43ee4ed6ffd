//! Connections that are used again: each belongs to one workload here and one identity there, and to no other.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::policy::model::Name;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{Carried, Closed};
use super::Outgoing;
use super::connection::{CallError, Lease, Shared, begin};
use crate::proxy::tls::Purse;

/// How often a call is tried that no peer has looked at.
const TRIES_MAX: usize = 3;

/// Whose connections may carry whose flows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The workload that flows come from.
    pub workload: Name,
    /// The tenant whose identity the other end has shown.
    pub tenant: Name,
    /// Where the other end listens.
    pub address: SocketAddr,
}

/// A byte stream to the other end, behind a TLS handshake that has verified it.
pub struct Dialled<IO> {
    /// The byte stream.
    pub io: IO,
    /// When the first of the two certificates ends.
    pub until: Instant,
    /// Who pays for its buffers.
    pub purse: Arc<dyn Purse>,
}

/// Why a call was not carried.
#[derive(Debug, thiserror::Error)]
pub enum OpenError<E> {
    /// There is no connection; calls that waited for the same one share the error.
    #[error("no connection: {0}")]
    Dial(Arc<E>),
    /// The peer answered with another status than 200.
    #[error("refused with status {0}")]
    Status(StatusCode),
    /// The tenant's buffers are full.
    #[error("the tenant's buffers are full")]
    Busy,
    /// The request or its connection failed.
    #[error("the connection failed: {0:?}")]
    Failed(Closed),
    /// Every connection that was tried took no more calls.
    #[error("no connection takes another call")]
    Exhausted,
    /// The call has no form on the wire.
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
}

/// What became of an attempt to connect; `None` while it goes on.
type Attempt<E> = watch::Receiver<Option<Result<(), Arc<E>>>>;

/// The connections of one key.
struct Entry<E> {
    connections: Vec<Arc<Shared>>,
    attempt: Option<Attempt<E>>,
}

impl<E> Default for Entry<E> {
    fn default() -> Self {
        Self { connections: Vec::new(), attempt: None }
    }
}

/// Connections that are used again.
pub struct Pool<E> {
    idle: Duration,
    entries: Mutex<HashMap<Key, Entry<E>>>,
    tasks: Mutex<JoinSet<Closed>>,
}

/// What one look into the pool says.
enum Found<E> {
    Place(Arc<Shared>, Lease),
    Wait(Attempt<E>),
    Connect(watch::Sender<Option<Result<(), Arc<E>>>>),
}

impl<E: Send + Sync + 'static> Pool<E> {
    /// A pool whose connections are closed after so long without a stream.
    #[must_use]
    pub fn new(idle: Duration) -> Self {
        Self { idle, entries: Mutex::default(), tasks: Mutex::default() }
    }

    /// Opens a stream on a connection of the key, which is dialled when none has room. One call dials for a key at a
    /// time, the others of that key wait for it; other keys do not.
    ///
    /// # Errors
    /// As [`OpenError`] says.
    pub async fn open<IO, D, F>(
        &self,
        key: &Key,
        outgoing: &Outgoing,
        dial: D,
    ) -> Result<Carried, OpenError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        D: Fn() -> F,
        F: Future<Output = Result<Dialled<IO>, E>>,
    {
        let request = outgoing.request()?;
        for _ in 0..TRIES_MAX {
            let (connection, lease) = self.place(key, &dial).await?;
            match connection.call(lease, request.clone()).await {
                Ok(carried) => return Ok(carried),
                Err(CallError::Unprocessed) => {}
                Err(CallError::Status(status)) => return Err(OpenError::Status(status)),
                Err(CallError::Busy) => return Err(OpenError::Busy),
                Err(CallError::Failed(closed)) => return Err(OpenError::Failed(closed)),
            }
        }
        Err(OpenError::Exhausted)
    }

    /// Opens nothing more on the connections that there are; what is open goes on.
    pub fn drain(&self) {
        for entry in self.entries().values() {
            entry.connections.iter().for_each(|connection| connection.retire());
        }
    }

    /// Connections without a stream, and all of them.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let entries = self.entries();
        let all = || entries.values().flat_map(|entry| &entry.connections).filter(|one| !one.is_over());
        (all().filter(|one| one.is_idle()).count(), all().count())
    }

    async fn place<IO, D, F>(&self, key: &Key, dial: &D) -> Result<(Arc<Shared>, Lease), OpenError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        D: Fn() -> F,
        F: Future<Output = Result<Dialled<IO>, E>>,
    {
        loop {
            match self.find(key) {
                Found::Place(connection, lease) => return Ok((connection, lease)),
                Found::Wait(mut attempt) => {
                    // An error says that who dialled has given up: somebody else does.
                    let outcome = attempt.wait_for(Option::is_some).await;
                    if let Ok(Some(Err(error))) = outcome.as_deref() {
                        return Err(OpenError::Dial(Arc::clone(error)));
                    }
                }
                Found::Connect(outcome) => match dial().await {
                    Ok(dialled) => {
                        let place = self.keep(key, dialled).await;
                        outcome.send_replace(Some(Ok(())));
                        return place;
                    }
                    Err(error) => {
                        let error = Arc::new(error);
                        outcome.send_replace(Some(Err(Arc::clone(&error))));
                        return Err(OpenError::Dial(error));
                    }
                },
            }
        }
    }

    fn find(&self, key: &Key) -> Found<E> {
        let mut entries = self.entries();
        let entry = entries.entry(key.clone()).or_default();
        entry.connections.retain(|connection| !connection.is_over());
        let place =
            entry.connections.iter().find_map(|one| one.lease().map(|lease| (Arc::clone(one), lease)));
        if let Some((connection, lease)) = place {
            return Found::Place(connection, lease);
        }
        // Whose sender is gone without a word was dropped while it dialled.
        let going_on = entry.attempt.as_ref().filter(|attempt| attempt.has_changed().is_ok());
        if let Some(attempt) = going_on.filter(|attempt| attempt.borrow().is_none()) {
            return Found::Wait(attempt.clone());
        }
        let (outcome, attempt) = watch::channel(None);
        entry.attempt = Some(attempt);
        Found::Connect(outcome)
    }

    /// The connection is there for others, and the first place on it is taken.
    async fn keep<IO>(&self, key: &Key, dialled: Dialled<IO>) -> Result<(Arc<Shared>, Lease), OpenError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Dialled { io, until, purse } = dialled;
        let begun = begin(io, until, self.idle, purse).await;
        let (connection, task) = begun.map_err(|closed| match closed {
            Closed::Busy => OpenError::Busy,
            other => OpenError::Failed(other),
        })?;
        {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
        // Before, a call too many would wait for the others to end.
        connection.greeted().await.map_err(OpenError::Failed)?;
        let lease = connection.lease().ok_or(OpenError::Exhausted)?;
        self.entries().entry(key.clone()).or_default().connections.push(Arc::clone(&connection));
        self.sweep();
        Ok((connection, lease))
    }

    /// Forgets keys that have nothing left.
    fn sweep(&self) {
        self.entries().retain(|_, entry| {
            entry.connections.retain(|connection| !connection.is_over());
            let dials = entry.attempt.as_ref().is_some_and(|attempt| attempt.has_changed().is_ok());
            !entry.connections.is_empty() || dials
        });
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry<E>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
