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
    /// Serial number of the certificate that it shows.
    pub serial: String,
    /// Cookie of the network that it is in: a workload may come again under its old name.
    pub network: u64,
    /// The tenant whose identity the other end has shown.
    pub tenant: Name,
    /// Where the other end listens.
    pub address: SocketAddr,
}

/// A byte stream to the other end, behind a TLS handshake that has verified it.
pub struct Dialled<IO, M = ()> {
    /// The byte stream.
    pub io: IO,
    /// What is to be remembered of it; every call on it is given the same.
    pub mark: M,
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

/// The connections of one key, each with its mark.
struct Entry<E, M> {
    connections: Vec<(Arc<Shared>, M)>,
    attempt: Option<Attempt<E>>,
}

impl<E, M> Default for Entry<E, M> {
    fn default() -> Self {
        Self { connections: Vec::new(), attempt: None }
    }
}

/// Connections that are used again.
pub struct Pool<E, M = ()> {
    idle: Duration,
    entries: Mutex<HashMap<Key, Entry<E, M>>>,
    tasks: Mutex<JoinSet<Closed>>,
}

/// A connection, a place on it, and its mark.
type Place<M> = (Arc<Shared>, Lease, M);

/// What one look into the pool says.
enum Found<E, M> {
    Place(Place<M>),
    Wait(Attempt<E>),
    Connect(watch::Sender<Option<Result<(), Arc<E>>>>),
}

impl<E: Send + Sync + 'static, M: Clone> Pool<E, M> {
    /// A pool whose connections are closed after so long without a stream.
    #[must_use]
    pub fn new(idle: Duration) -> Self {
        Self { idle, entries: Mutex::default(), tasks: Mutex::default() }
    }

    /// Opens a stream on a connection of the key, which is dialled when none has room; says on which, by its mark. One
    /// call dials for a key at a time, the others of that key wait for it; other keys do not.
    ///
    /// # Errors
    /// As [`OpenError`] says.
    pub async fn open<IO, D, F>(
        &self,
        key: &Key,
        outgoing: &Outgoing,
        dial: D,
    ) -> Result<(Carried, M), OpenError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        D: Fn() -> F,
        F: Future<Output = Result<Dialled<IO, M>, E>>,
    {
        let request = outgoing.request()?;
        for _ in 0..TRIES_MAX {
            let (connection, lease, mark) = self.place(key, &dial).await?;
            match connection.call(lease, request.clone()).await {
                Ok(carried) => return Ok((carried, mark)),
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
        self.retain(|_, _| false);
    }

    /// Opens nothing more on connections that are not to be kept; what is open on them goes on.
    pub fn retain(&self, is_kept: impl Fn(&Key, &M) -> bool) {
        self.entries().retain(|key, entry| {
            for (connection, mark) in &entry.connections {
                if !is_kept(key, mark) {
                    connection.retire();
                }
            }
            entry.is_of_use()
        });
    }

    /// Connections without a stream, and all of them.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let entries = self.entries();
        let all = || {
            entries
                .values()
                .flat_map(|entry| &entry.connections)
                .map(|(one, _)| one)
                .filter(|one| !one.is_over())
        };
        (all().filter(|one| one.is_idle()).count(), all().count())
    }

    async fn place<IO, D, F>(&self, key: &Key, dial: &D) -> Result<Place<M>, OpenError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        D: Fn() -> F,
        F: Future<Output = Result<Dialled<IO, M>, E>>,
    {
        loop {
            match self.find(key) {
                Found::Place(place) => return Ok(place),
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

    fn find(&self, key: &Key) -> Found<E, M> {
        let mut entries = self.entries();
        let entry = entries.entry(key.clone()).or_default();
        entry.connections.retain(|(connection, _)| !connection.is_over());
        let leased =
            |(one, mark): &(Arc<Shared>, M)| one.lease().map(|lease| (Arc::clone(one), lease, mark.clone()));
        if let Some(place) = entry.connections.iter().find_map(leased) {
            return Found::Place(place);
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
    async fn keep<IO>(&self, key: &Key, dialled: Dialled<IO, M>) -> Result<Place<M>, OpenError<E>>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Dialled { io, mark, until, purse } = dialled;
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
        let kept = (Arc::clone(&connection), mark.clone());
        self.entries().entry(key.clone()).or_default().connections.push(kept);
        Ok((connection, lease, mark))
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry<E, M>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E, M> Entry<E, M> {
    /// Forgets connections on which nothing more is opened; false when nothing is left.
    fn is_of_use(&mut self) -> bool {
        self.connections.retain(|(connection, _)| !connection.is_over());
        let dials = self.attempt.as_ref().is_some_and(|attempt| attempt.has_changed().is_ok());
        !self.connections.is_empty() || dials
    }
}
