//! Records from a number on without a gap: those that are kept first, then those to come, each once it is on disk. Whoever
//! takes them slowly is not waited for in memory: what memory no longer holds is read from the store again.

use enforcer_core::event::filter::Filter;
use enforcer_core::event::record::LOSS;
use enforcer_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio_stream::StreamExt as _;

use super::read::Reading;
use crate::door::records::{Scope, Start, Subscribe};
use crate::door::trace::{AHEAD_MAX, Found, Refused};

/// How a loss record says that its reader was too slow for what memory holds.
const SLOW: &str = "observer_slow";

/// What streams are made of.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) reading: Reading,
    pub(super) subscribe: Subscribe,
    pub(super) durable: watch::Receiver<u64>,
}

impl Streams {
    /// A stream. With `follow` it goes on; without, it ends with what was on disk when it was asked for.
    pub(super) async fn open(&self, request: v1::ObserveRequest, scope: Scope) -> Result<Found, Refused> {
        let words = |errors: Vec<_>| {
            let words: Vec<String> = errors
                .iter()
                .map(|error: &enforcer_core::event::filter::FilterError| error.to_string())
                .collect();
            Refused::Senseless(words.join("; "))
        };
        let filter = Filter::parse(&request).map_err(words)?;
        let (out, found) = mpsc::channel(AHEAD_MAX);
        let follow = request.follow;
        let reached = *self.durable.borrow();
        let (cursor, last) = match (request.after, request.last) {
            (Some(after), _) => (after.min(u64::MAX - 1), None),
            (None, Some(last)) => (0, Some(last)),
            (None, None) => (reached, None),
        };
        let mut stream = Stream { streams: self.clone(), request, scope, filter, cursor, out };
        // The first look is a question like any other: what is wrong with it is its answer.
        let stored = if cursor < reached { Some(stream.stored(last).await?) } else { None };
        tokio::spawn(async move {
            if let Some(stored) = stored
                && stream.pass(stored, reached).await.is_none()
            {
                return;
            }
            stream.cursor = stream.cursor.max(reached);
            if follow {
                let end = stream.follow().await;
                if let Some(Err(refused)) = end {
                    let _gone = stream.out.send(Err(refused)).await;
                }
            }
        });
        Ok(found)
    }
}

struct Stream {
    streams: Streams,
    request: v1::ObserveRequest,
    scope: Scope,
    filter: Filter,
    /// Everything up to this number was handed on, or did not pass.
    cursor: u64,
    out: mpsc::Sender<Result<v1::Record, Refused>>,
}

/// `None` when nobody receives any more.
type Going = Option<()>;

impl Stream {
    /// What is kept behind the cursor.
    async fn stored(&self, last: Option<u32>) -> Result<Found, Refused> {
        let after = last.is_none().then_some(self.cursor);
        let filter = v1::ObserveRequest { follow: false, last, after, ..self.request.clone() };
        let query = v1::QueryRequest { filter: Some(filter), ..v1::QueryRequest::default() };
        let turn = self.streams.reading.turn(&self.scope)?;
        self.streams.reading.query(&query, &self.scope, turn).await
    }

    /// Hands stored records on, up to the number that was on disk when they were asked for.
    async fn pass(&mut self, mut stored: Found, reached: u64) -> Going {
        while let Some(found) = stored.recv().await {
            let is_beyond = found.as_ref().is_ok_and(|record| record.sequence > reached);
            if is_beyond {
                break;
            }
            let is_end = found.is_err();
            if let Ok(record) = &found {
                self.cursor = self.cursor.max(record.sequence);
            }
            self.out.send(found).await.ok()?;
            if is_end {
                return None;
            }
        }
        self.cursor = self.cursor.max(reached);
        Some(())
    }

    /// Until nobody receives any more, or something is wrong with the store.
    async fn follow(&mut self) -> Option<Result<(), Refused>> {
        loop {
            self.live().await?;
            // Memory no longer held what came next: it is on disk, or soon will be.
            let reached = *self.streams.durable.borrow_and_update();
            if reached <= self.cursor {
                self.changed().await?;
                continue;
            }
            match self.stored(None).await {
                Ok(stored) => self.pass(stored, reached).await?,
                // Others read now: it is tried again.
                Err(Refused::Busy(_)) => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
                Err(refused) => return Some(Err(refused)),
            }
        }
    }

    /// Hands on what comes, until memory did not hold everything.
    async fn live(&mut self) -> Going {
        let start = Start::After(self.cursor);
        let mut records = (self.streams.subscribe)(self.scope.clone(), start, true);
        loop {
            let record = tokio::select! {
                () = self.out.closed() => return None,
                record = records.next() => record?,
            };
            if record.r#type == LOSS && record.reason == SLOW && record.sequence == 0 {
                return Some(());
            }
            if record.sequence <= self.cursor {
                continue;
            }
            while *self.streams.durable.borrow_and_update() < record.sequence {
                self.changed().await?;
            }
            self.cursor = record.sequence;
            if self.filter.passes(&record) {
                self.out.send(Ok(record)).await.ok()?;
            }
        }
    }

    /// Waits until more is on disk.
    async fn changed(&mut self) -> Going {
        tokio::select! {
            () = self.out.closed() => None,
            changed = self.streams.durable.changed() => changed.ok(),
        }
    }
}
