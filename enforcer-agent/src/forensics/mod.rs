//! What happened on this node, with names: events come in as bytes, records go out to observers and to the
//! log. Enforcement never waits for this room; what is lost on the way is counted and told.

mod follow;
mod ingest;
mod line;
mod made;
mod paths;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enforcer_core::event::filter::{Filter, FilterError};
use enforcer_proto::v1;
use tokio::sync::watch;
use tokio_stream::Stream;

pub use ingest::{Intake, boot_offset_ns};
pub use line::TARGET;
pub use made::{Made, Maker, queue};
pub use paths::PathLookup;
pub use store::Totals;

use store::{Cursor, Page, Store};

/// Records held when nothing else is configured.
pub const DEFAULT_CAPACITY: usize = 65_536;

/// The records of this node. Clones share them.
#[derive(Clone)]
pub struct Forensics {
    shared: Arc<Shared>,
}

struct Shared {
    node: String,
    store: Mutex<Store>,
    /// How many records were ever stored; wakes followers.
    stored: watch::Sender<u64>,
}

impl Forensics {
    /// For `node`, holding at most `capacity` records, of which three quarters are kept from being pushed out
    /// by samples of allowed flows.
    #[must_use]
    pub fn new(node: String, capacity: usize) -> Self {
        let store = Mutex::new(Store::new(capacity));
        Self { shared: Arc::new(Shared { node, store, stored: watch::Sender::new(0) }) }
    }

    /// The records that `request` asks for, oldest first; with `follow`, those to come as well, until the
    /// receiver is dropped. A receiver that is too slow is told, by a record, how many it missed.
    ///
    /// # Errors
    /// Words of the request that mean nothing.
    pub fn observe(
        &self,
        request: &v1::ObserveRequest,
    ) -> Result<impl Stream<Item = v1::Record> + Send + use<>, Vec<FilterError>> {
        let filter = Filter::parse(request)?;
        Ok(follow::stream(self.clone(), filter, request.last, request.follow))
    }

    /// What is held, and what was pushed out.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.store().totals()
    }

    fn append(&self, records: impl IntoIterator<Item = v1::Record>) {
        let total = {
            let mut store = self.store();
            records.into_iter().for_each(|record| store.push(record));
            store.totals().stored
        };
        self.shared.stored.send_replace(total);
    }

    fn read(&self, cursor: Cursor, end: Option<Cursor>, limit: usize) -> Page {
        self.store().read(cursor, end, limit)
    }

    fn start(&self, filter: &Filter, last: Option<u32>) -> Cursor {
        match last {
            None => self.store().oldest(),
            Some(count) => {
                let (held, newest) = self.store().held();
                store::cursor_at_last(&held, newest, filter, count)
            }
        }
    }

    fn newest(&self) -> Cursor {
        self.store().newest()
    }

    fn subscribe(&self) -> watch::Receiver<u64> {
        self.shared.stored.subscribe()
    }

    fn node(&self) -> &str {
        &self.shared.node
    }

    /// A panic while the lock was held cannot have left a record half written.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
