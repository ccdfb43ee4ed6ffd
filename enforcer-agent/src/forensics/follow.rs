//! An observer's stream. It reads the store at its own pace: a slow observer holds no memory and slows nobody
//! down, it misses records, and is told how many. A tenant is told how many of its own: what is pushed out of others' records
//! is not its to know.

use std::sync::Arc;

use enforcer_core::event::filter::Filter;
use enforcer_core::event::redact::share;
use enforcer_core::event::sequence;
use enforcer_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use super::Forensics;
use super::store::{Cursor, Gone, Page, cursor_at_last};
use crate::door::records::{Records, Scope, Start};

/// Why a reader missed records, as loss records say it.
const CAUSE: &str = "observer_slow";
/// Why a reader does not get what it asked to go on with.
const NOT_HELD: &str = "not_held";
/// Records taken from the store at once.
const PAGE: usize = 256;
/// Records that wait for the receiver.
const AHEAD: usize = 64;

/// Whose records, and which of them.
pub(super) struct View {
    pub(super) scope: Scope,
    pub(super) filter: Filter,
}

impl View {
    /// The record as it is seen: first without what is not the viewer's, then by what was asked for.
    fn of(&self, record: &Arc<v1::Record>) -> Option<Arc<v1::Record>> {
        let seen = match &self.scope {
            Scope::Everything => Arc::clone(record),
            Scope::Tenant(tenant) => share(record, tenant)?,
        };
        self.filter.passes(&seen).then_some(seen)
    }

    fn is_own(&self, record: &v1::Record) -> bool {
        match &self.scope {
            Scope::Everything => true,
            Scope::Tenant(tenant) => {
                enforcer_core::event::redact::viewers(record).any(|viewer| *viewer == **tenant)
            }
        }
    }
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begin {
    At(Start),
    /// With the last ones that are seen.
    Last(u32),
}

/// The stream; its task ends when the stream is dropped, at the end of what is held unless `follow`, or when
/// the room is gone.
pub(super) fn stream(forensics: Forensics, view: View, begin: Begin, follow: bool) -> Records {
    let (out, records) = mpsc::channel(AHEAD);
    // Taken now, so that nothing that comes after the call is missed before the task first runs.
    let stored = forensics.stored();
    let end = forensics.store().newest();
    let Origin { cursor, missed, own } = start(&forensics, &view, begin);
    let reader = Reader { forensics, view, out, own };
    tokio::spawn(async move {
        if missed != 0 && reader.tell(NOT_HELD, missed, None).await.is_none() {
            return;
        }
        if follow { reader.follow(cursor, stored).await } else { reader.until(cursor, end).await }
    });
    Box::pin(ReceiverStream::new(records))
}

/// Where a stream begins.
struct Origin {
    cursor: Cursor,
    /// How many records of what was asked for are no longer held.
    missed: u64,
    /// How many of the viewer's own records lie before the cursor, those that are gone included.
    own: u64,
}

/// All of it by one look at the store: what is pushed out a moment later was missed.
fn start(forensics: &Forensics, view: &View, begin: Begin) -> Origin {
    let store = forensics.store();
    let gone = match &view.scope {
        Scope::Everything => Gone::default(),
        Scope::Tenant(tenant) => store.gone(tenant),
    };
    let from = |cursor, missed, before: &[Arc<v1::Record>]| {
        let own = before.iter().filter(|record| view.is_own(record)).count();
        Origin { cursor, missed, own: gone.count.saturating_add(u64::try_from(own).unwrap_or(u64::MAX)) }
    };
    let before = |cursor| store.read(store.oldest(), Some(cursor), usize::MAX).records;
    match begin {
        Begin::At(Start::Oldest) => from(store.oldest(), 0, &[]),
        Begin::At(Start::Newest) => from(store.newest(), 0, &before(store.newest())),
        Begin::At(Start::After(sequence)) => {
            let (cursor, missed) = store.after(sequence);
            let missed = match &view.scope {
                Scope::Everything => missed,
                // How many of its own were behind that number is not known; that one was, is.
                Scope::Tenant(_) => u64::from(gone.last > sequence),
            };
            from(cursor, missed, &before(cursor))
        }
        Begin::Last(count) => {
            let (held, newest) = store.held();
            // Nobody waits while a filter looks at everything.
            drop(store);
            let (cursor, passed) = cursor_at_last(&held, newest, |record| view.of(record).is_some(), count);
            from(cursor, 0, held.get(..passed).unwrap_or_default())
        }
    }
}

struct Reader {
    forensics: Forensics,
    view: View,
    out: mpsc::Sender<v1::Record>,
    /// How many of the viewer's own records lie before the cursor: what was pushed out of those and not passed was missed.
    own: u64,
}

impl Reader {
    /// Until nobody receives any more, or the room is gone.
    async fn follow(mut self, mut cursor: Cursor, mut stored: watch::Receiver<u64>) {
        loop {
            stored.mark_unchanged();
            loop {
                let (page, missed) = self.read(cursor, None);
                if page.records.is_empty() && page.missed == 0 {
                    break;
                }
                let Some(next) = self.hand_on(page, missed).await else { return };
                cursor = next;
            }
            tokio::select! {
                changed = stored.changed() => if changed.is_err() { return },
                () = self.out.closed() => return,
            }
        }
    }

    /// Up to where the store ended when the stream was asked for, and not after: a busy node would never let
    /// the reader go.
    async fn until(mut self, mut cursor: Cursor, end: Cursor) {
        while cursor != end {
            let (page, missed) = self.read(cursor, Some(end));
            let Some(next) = self.hand_on(page, missed).await else { return };
            if next == cursor {
                return;
            }
            cursor = next;
        }
    }

    /// The next page, and how many of the viewer's own records were missed before it.
    fn read(&mut self, cursor: Cursor, end: Option<Cursor>) -> (Page, u64) {
        let (page, gone) = {
            let store = self.forensics.store();
            let gone = match &self.view.scope {
                Scope::Everything => 0,
                Scope::Tenant(tenant) => store.gone(tenant).count,
            };
            (store.read(cursor, end, PAGE), gone)
        };
        let own = page.records.iter().filter(|record| self.view.is_own(record)).count();
        let own = u64::try_from(own).unwrap_or(u64::MAX);
        let missed = match &self.view.scope {
            Scope::Everything => page.missed,
            Scope::Tenant(_) if page.missed == 0 => 0,
            Scope::Tenant(_) => gone.saturating_sub(self.own),
        };
        self.own = self.own.saturating_add(missed).saturating_add(own);
        (page, missed)
    }

    /// Where to go on; `None` when nobody receives any more.
    async fn hand_on(&self, page: Page, missed: u64) -> Option<Cursor> {
        if missed != 0 {
            self.tell(CAUSE, missed, page.records.first()).await?;
        }
        for record in page.records.iter().filter_map(|record| self.view.of(record)) {
            self.out.send(Arc::unwrap_or_clone(record)).await.ok()?;
        }
        Some(page.next)
    }

    /// That something was missed, before a record.
    async fn tell(&self, cause: &str, missed: u64, before: Option<&Arc<v1::Record>>) -> Option<()> {
        let time = before.and_then(|record| record.time).unwrap_or_else(super::clock::now);
        let loss = sequence::loss(self.forensics.node(), cause, missed, time);
        if self.view.filter.passes(&loss) {
            self.out.send(loss).await.ok()?;
        }
        Some(())
    }
}
