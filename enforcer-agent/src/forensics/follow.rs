//! An observer's stream. It reads the store at its own pace: a slow observer holds no memory and slows nobody
//! down, it misses records, and is told how many.

use enforcer_core::event::filter::Filter;
use enforcer_core::event::sequence;
use enforcer_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::Forensics;
use super::store::{Cursor, Page};

/// Why a reader missed records, as loss records say it.
const CAUSE: &str = "observer_slow";
/// Records taken from the store at once.
const PAGE: usize = 256;
/// Records that wait for the receiver.
const AHEAD: usize = 64;

/// The stream; its task ends when the stream is dropped, at the end of what is held unless `follow`, or when
/// the room is gone.
pub(super) fn stream(
    forensics: Forensics,
    filter: Filter,
    last: Option<u32>,
    follow: bool,
) -> impl Stream<Item = v1::Record> + Send + use<> {
    let (out, records) = mpsc::channel(AHEAD);
    // Taken now, so that nothing that comes after the call is missed before the task first runs.
    let start = forensics.start(&filter, last);
    let stored = forensics.subscribe();
    let end = forensics.newest();
    let reader = Reader { forensics, filter, out };
    tokio::spawn(async move {
        if follow { reader.follow(start, stored).await } else { reader.until(start, end).await }
    });
    ReceiverStream::new(records)
}

struct Reader {
    forensics: Forensics,
    filter: Filter,
    out: mpsc::Sender<v1::Record>,
}

impl Reader {
    /// Until nobody receives any more, or the room is gone.
    async fn follow(self, mut cursor: Cursor, mut stored: tokio::sync::watch::Receiver<u64>) {
        loop {
            stored.mark_unchanged();
            loop {
                let page = self.forensics.read(cursor, None, PAGE);
                if page.records.is_empty() && page.missed == 0 {
                    break;
                }
                let Some(next) = self.hand_on(page).await else { return };
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
    async fn until(self, mut cursor: Cursor, end: Cursor) {
        while cursor != end {
            let page = self.forensics.read(cursor, Some(end), PAGE);
            let Some(next) = self.hand_on(page).await else { return };
            cursor = next;
        }
    }

    /// Where to go on; `None` when nobody receives any more.
    async fn hand_on(&self, page: Page) -> Option<Cursor> {
        if page.missed != 0 {
            let time = page.records.first().and_then(|record| record.time).unwrap_or_default();
            let loss = sequence::loss(self.forensics.node(), CAUSE, page.missed, time);
            if self.filter.passes(&loss) {
                self.out.send(loss).await.ok()?;
            }
        }
        for record in page.records.iter().filter(|record| self.filter.passes(record)) {
            self.out.send(v1::Record::clone(record)).await.ok()?;
        }
        Some(page.next)
    }
}
