//! Reading the store for somebody: on a thread that may block, at the pace of whoever takes the records, for a while.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use enforcer_proto::v1;
use enforcer_trace::keys::Keys;
use enforcer_trace::query::{self, Query, QueryError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::brake::Brake;
use crate::door::records::Scope;
use crate::door::trace::{AHEAD_MAX, Found, Refused};

/// Readers at once: operators', and all tenants' together.
const READERS_MAX: usize = 4;
/// How long one answer may take, with whoever takes it.
const ANSWER_MAX: Duration = Duration::from_secs(600);

/// Where the store is, and who may read at once.
#[derive(Clone)]
pub(super) struct Reading {
    directory: PathBuf,
    keys: Arc<dyn Keys>,
    operators: Arc<Semaphore>,
    tenants: Arc<Semaphore>,
}

/// A place among those who read, and whom it stops.
pub(super) struct Turn {
    brake: Arc<Brake>,
    deadline: Instant,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    pub(super) fn new(directory: PathBuf, keys: Arc<dyn Keys>) -> Self {
        let places = || Arc::new(Semaphore::new(READERS_MAX));
        Self { directory, keys, operators: places(), tenants: places() }
    }

    /// A place, if there is one: tenants take none from operators.
    pub(super) fn turn(&self, scope: &Scope) -> Result<Turn, Refused> {
        let places = match scope {
            Scope::Everything => &self.operators,
            Scope::Tenant(_) => &self.tenants,
        };
        let busy = |_| Refused::Busy(format!("{READERS_MAX} others read the traces now; try again"));
        let place = Arc::clone(places).try_acquire_owned().map_err(busy)?;
        let brake = Brake::new(Arc::clone(&self.keys));
        Ok(Turn { brake, deadline: Instant::now() + ANSWER_MAX, _place: place })
    }

    /// Records as they are found. The answer is there once the store was looked into.
    pub(super) async fn query(
        &self,
        request: &v1::QueryRequest,
        scope: &Scope,
        turn: Turn,
    ) -> Result<Found, Refused> {
        let query = parse(request)?;
        let (found, records) = mpsc::channel(AHEAD_MAX);
        let (looked, looking) = oneshot::channel();
        let (directory, scope) = (self.directory.clone(), stored(scope));
        let guard = Guard::watch(&turn, found.clone());
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let keys: Arc<dyn Keys> = Arc::clone(&guard.brake) as Arc<dyn Keys>;
            let answer = match query::query(&directory, &keys, &query, &scope) {
                Ok(answer) => answer,
                Err(error) => {
                    let _gone = looked.send(Err(refused(error)));
                    return;
                }
            };
            if looked.send(Ok(())).is_err() {
                return;
            }
            for record in answer {
                if guard.brake.is_pulled() || found.blocking_send(Ok(record)).is_err() {
                    break;
                }
            }
            if guard.brake.is_pulled() && !found.is_closed() {
                let _gone = found.blocking_send(Err(late()));
            }
        });
        looking.await.map_err(|_| Refused::Damaged("the traces could not be read".to_owned()))??;
        Ok(records)
    }

    /// Does something with the records that are found, and answers with what it made of them.
    pub(super) async fn fold<T: Send + 'static>(
        &self,
        request: &v1::QueryRequest,
        scope: &Scope,
        turn: Turn,
        fold: impl FnOnce(&mut dyn Iterator<Item = v1::Record>) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let query = parse(request)?;
        let (directory, scope) = (self.directory.clone(), stored(scope));
        let brake = Arc::clone(&turn.brake);
        let deadline = turn.deadline;
        let work = tokio::task::spawn_blocking(move || {
            let keys: Arc<dyn Keys> = Arc::clone(&turn.brake) as Arc<dyn Keys>;
            let answer = query::query(&directory, &keys, &query, &scope).map_err(refused)?;
            let mut records = answer.take_while(|_| !turn.brake.is_pulled());
            Ok(fold(&mut records))
        });
        let pull = PullOnDrop(brake);
        tokio::select! {
            () = sleep_until(deadline) => Err(late()),
            done = work => {
                let done = done.map_err(|_| Refused::Damaged("the traces could not be read".to_owned()))?;
                drop(pull);
                done
            }
        }
    }
}

/// Pulls the brake when nobody waits any more.
struct PullOnDrop(Arc<Brake>);

impl Drop for PullOnDrop {
    fn drop(&mut self) {
        self.0.pull();
    }
}

/// Watches over a reader: it is stopped when nobody takes its records, or its time is over.
struct Guard {
    brake: Arc<Brake>,
    watcher: tokio::task::JoinHandle<()>,
}

impl Guard {
    fn watch(turn: &Turn, found: mpsc::Sender<Result<v1::Record, Refused>>) -> Self {
        let (brake, deadline) = (Arc::clone(&turn.brake), turn.deadline);
        let pulled = Arc::clone(&brake);
        let watcher = tokio::spawn(async move {
            tokio::select! {
                () = found.closed() => {}
                () = sleep_until(deadline) => {}
            }
            pulled.pull();
        });
        Self { brake, watcher }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

fn parse(request: &v1::QueryRequest) -> Result<Query, Refused> {
    Query::parse(request).map_err(refused)
}

/// A scope, as the store has it.
fn stored(scope: &Scope) -> query::Scope {
    match scope {
        Scope::Everything => query::Scope::Everything,
        Scope::Tenant(tenant) => query::Scope::Tenant(tenant.to_string()),
    }
}

fn late() -> Refused {
    Refused::Late(format!(
        "the answer took longer than {} minutes: ask for less, or export in parts by time",
        ANSWER_MAX.as_secs() / 60
    ))
}

fn refused(error: QueryError) -> Refused {
    match error {
        QueryError::Filter(_)
        | QueryError::Follow
        | QueryError::Span
        | QueryError::Last(_)
        | QueryError::LastAndLimit => Refused::Senseless(error.to_string()),
        QueryError::Store(_) => Refused::Away(error.to_string()),
    }
}
