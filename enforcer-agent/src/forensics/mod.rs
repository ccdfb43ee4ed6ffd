//! What happened on this node, with names: events come in as bytes, records go out to observers and to the
//! log. Enforcement never waits for this room; what is lost on the way is counted and told.

mod clock;
mod desk;
mod follow;
mod ingest;
mod line;
mod made;
mod paths;
mod proc;
mod processes;
mod serials;
mod sockets;
mod store;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use enforcer_core::event::filter::{Filter, FilterError};
use enforcer_proto::v1;
use tokio::sync::watch;

pub use ingest::{Counters, Intake};
pub use line::TARGET;
pub use made::{Made, Maker, queue};
pub use paths::PathLookup;
pub use proc::GroupLookup;
pub use store::Totals;

use crate::door::records::{Records, Scope, Start};
use follow::{Begin, View};
use store::Store;

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

    /// The records that `request` asks for within a scope, oldest first; with `follow`, those to come as well, until the
    /// receiver is dropped. A receiver that is too slow is told, by a record, how many it missed.
    ///
    /// # Errors
    /// Words of the request that mean nothing.
    pub fn observe(&self, request: &v1::ObserveRequest, scope: Scope) -> Result<Records, Vec<FilterError>> {
        let filter = Filter::parse(request)?;
        let begin = match (request.last, filter.after()) {
            (Some(count), _) => Begin::Last(count),
            (None, Some(sequence)) => Begin::At(Start::After(sequence)),
            (None, None) => Begin::At(Start::Oldest),
        };
        Ok(follow::stream(self.clone(), View { scope, filter }, begin, request.follow))
    }

    /// Every record within a scope from a start; with `follow`, those to come as well.
    #[must_use]
    pub fn subscribe(&self, scope: Scope, start: Start, follow: bool) -> Records {
        let view = View { scope, filter: Filter::default() };
        follow::stream(self.clone(), view, Begin::At(start), follow)
    }

    /// What is held, and what was pushed out.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.store().totals()
    }

    pub(crate) fn append(&self, records: &[Arc<v1::Record>]) {
        let total = {
            let mut store = self.store();
            records.iter().for_each(|record| store.push(Arc::clone(record)));
            store.totals().stored
        };
        self.shared.stored.send_replace(total);
    }

    fn stored(&self) -> watch::Receiver<u64> {
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
