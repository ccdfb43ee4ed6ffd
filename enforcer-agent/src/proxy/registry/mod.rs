//! The flows that are carried now. A flow registers first and is authorised second, by the court that sits then; when
//! the policy changes, the new court takes its seat first and hears everyone again second. Whichever comes first, no
//! flow goes on that the court in its seat would not let go on.

mod counts;
mod flow;
mod listing;
mod metrics;
mod renew;
#[cfg(test)]
mod tests;
mod ticket;
mod timer;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::{Court, Permit};
use tokio::sync::Notify;

pub use counts::Handshake;
pub use flow::{Direction, EndReason, Flow, Hop, Met, Seen};
pub use ticket::Ticket;
pub use timer::follow_deadlines;

use super::budget::Budgets;
use crate::door::identity::IsRevoked;
use counts::Counts;
use flow::Live;

/// Every flow of this node's tunnels.
pub struct Registry {
    inner: Mutex<Inner>,
    counts: Mutex<BTreeMap<Name, Counts>>,
    budgets: Arc<Budgets>,
    is_revoked: IsRevoked,
    /// What each pair has shown last.
    shown: Mutex<HashMap<renew::Pair, renew::Shown>>,
    /// An earlier deadline than before was set.
    earlier: Notify,
    /// The last flow went.
    empty: Notify,
}

struct Inner {
    court: Arc<Court>,
    next: u64,
    flows: BTreeMap<u64, Entry>,
    deadlines: BTreeSet<(Duration, u64)>,
}

struct Entry {
    flow: Flow,
    state: State,
    live: Arc<Live>,
    deadline: Option<Duration>,
}

/// How far a flow is.
#[derive(Debug)]
enum State {
    /// Nobody has allowed it yet.
    Registered,
    /// The other end has not taken it yet.
    HalfOpen(Permit),
    /// Bytes may go to and fro.
    Carried(Permit),
}

impl State {
    const fn permit(&self) -> Option<&Permit> {
        match self {
            Self::Registered => None,
            Self::HalfOpen(permit) | Self::Carried(permit) => Some(permit),
        }
    }
}

impl Registry {
    /// An empty one, under a court.
    #[must_use]
    pub fn new(court: Arc<Court>, is_revoked: IsRevoked, budgets: Arc<Budgets>) -> Arc<Self> {
        let inner = Inner { court, next: 1, flows: BTreeMap::new(), deadlines: BTreeSet::new() };
        Arc::new(Self {
            inner: Mutex::new(inner),
            counts: Mutex::default(),
            budgets,
            is_revoked,
            shown: Mutex::default(),
            earlier: Notify::new(),
            empty: Notify::new(),
        })
    }

    /// Takes a flow up, before anybody has allowed it. It is in the list until the ticket is dropped.
    #[must_use]
    pub fn register(self: &Arc<Self>, flow: Flow) -> Ticket {
        let live = Arc::new(Live::new(flow.direction()));
        let mut inner = self.inner();
        let id = inner.next;
        inner.next += 1;
        let entry = Entry { flow, state: State::Registered, live: Arc::clone(&live), deadline: None };
        inner.flows.insert(id, entry);
        let is_first = inner.set_deadline(id);
        drop(inner);
        if is_first {
            self.earlier.notify_one();
        }
        Ticket::new(Arc::clone(self), id, live)
    }

    /// The court in its seat.
    #[must_use]
    pub fn court(&self) -> Arc<Court> {
        Arc::clone(&self.inner().court)
    }

    /// What tenants may use, and use.
    #[must_use]
    pub const fn budgets(&self) -> &Arc<Budgets> {
        &self.budgets
    }

    /// How many flows there are, whatever their state.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner().flows.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Waits until there is no flow.
    pub async fn emptied(&self) {
        loop {
            let went = self.empty.notified();
            if self.is_empty() {
                return;
            }
            went.await;
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Sets a flow's deadline anew; true when it is the first of all now.
    fn set_deadline(&mut self, id: u64) -> bool {
        let Some(entry) = self.flows.get_mut(&id) else { return false };
        let deadline = entry.flow.deadline(entry.state.permit());
        let before = std::mem::replace(&mut entry.deadline, deadline);
        if let Some(before) = before {
            self.deadlines.remove(&(before, id));
        }
        let Some(deadline) = deadline else { return false };
        self.deadlines.insert((deadline, id));
        self.deadlines.first() == Some(&(deadline, id))
    }

    fn forget(&mut self, id: u64) -> Option<Entry> {
        let entry = self.flows.remove(&id)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, id));
        }
        Some(entry)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("flows", &self.len()).finish_non_exhaustive()
    }
}
