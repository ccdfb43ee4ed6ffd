//! From the records of this node into the spool of one collector. What a full disk does not take waits here, and meanwhile
//! no more is read: then the keeper of the records counts what it can no longer hold for us, and says so in a record.

use std::sync::Arc;
use std::time::Duration;

use enforcer_proto::v1;
use prost::Message as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_stream::StreamExt as _;
use tracing::{info, warn};

use super::rules::{Backoff, chance};
use super::spool::{Batch, SpoolError};
use super::stats::Cause;
use super::{Pipe, loss};
use crate::door::records::{Records, Tell};
use crate::door::stop::Stop;

/// How often losses are told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How records are put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) records: usize,
    /// As they are here: the collector's form is about three times as long, and has to fit 4 MiB.
    pub(super) bytes: usize,
    pub(super) delay: Duration,
}

/// Reads records until there are no more or the word to stop comes.
pub(super) async fn run(pipe: Arc<Pipe>, mut records: Records, shape: Shape, tell: Tell, mut stop: Stop) {
    let mut batch = empty(&pipe, pipe.last);
    let mut due = Instant::now();
    let mut telling = interval(TELL_EVERY);
    telling.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.wait() => break,
            _ = telling.tick() => tell_losses(&pipe, &tell),
            () = sleep_until(due), if batch.records > 0 => append(&pipe, &mut batch, &mut stop).await,
            record = records.next() => match record {
                None => break,
                Some(record) => {
                    if batch.records == 0 {
                        due = Instant::now() + shape.delay;
                    }
                    if !fits(&batch, &record, shape) {
                        append(&pipe, &mut batch, &mut stop).await;
                    }
                    push(&mut batch, &record);
                    let is_full = usize::try_from(batch.records).is_ok_and(|count| count >= shape.records);
                    if is_full || batch.payload.len() >= shape.bytes {
                        append(&pipe, &mut batch, &mut stop).await;
                    }
                }
            },
        }
    }
    // One try: what does not get in is read again after the restart, as far as the records are still held.
    if batch.records > 0
        && let Err(error) = pipe.append(batch).await
    {
        warn!(%error, collector = pipe.name, "the last records before the end were not spooled");
    }
    tell_losses(&pipe, &tell);
}

/// The batch that follows the record `last`.
fn empty(pipe: &Pipe, last: u64) -> Batch {
    Batch { run: pipe.run, last, ..Batch::default() }
}

fn fits(batch: &Batch, record: &v1::Record, shape: Shape) -> bool {
    batch.records == 0 || batch.payload.len() + record.encoded_len() <= shape.bytes
}

fn push(batch: &mut Batch, record: &v1::Record) {
    // What the keeper of the records tells a subscriber alone has no number.
    if batch.first == 0 {
        batch.first = record.sequence;
    }
    batch.last = batch.last.max(record.sequence);
    batch.records += 1;
    batch.payload.extend_from_slice(&record.encode_length_delimited_to_vec());
}

/// The records of a batch; what cannot be decoded is left out.
pub(super) fn records(batch: &Batch) -> Vec<v1::Record> {
    let mut rest = batch.payload.as_slice();
    let mut records = Vec::new();
    while !rest.is_empty() {
        let Ok(record) = v1::Record::decode_length_delimited(&mut rest) else { break };
        records.push(record);
    }
    records
}

/// Puts a batch into the spool, however long that takes, and leaves an empty one.
async fn append(pipe: &Arc<Pipe>, batch: &mut Batch, stop: &mut Stop) {
    let mut backoff = Backoff::new();
    let mut is_told = false;
    loop {
        match pipe.append(batch.clone()).await {
            Ok(()) => break,
            Err(error @ SpoolError::TooLarge { .. }) => {
                warn!(%error, collector = pipe.name, "records that no spool can hold are lost");
                pipe.stats.lose(Cause::SpoolFull, u64::from(batch.records));
                break;
            }
            Err(error) => {
                if !is_told {
                    warn!(%error, collector = pipe.name, "the spool takes no records; they wait");
                    is_told = true;
                }
            }
        }
        tokio::select! {
            () = stop.wait() => return,
            () = sleep(backoff.next(chance())) => {}
        }
    }
    if is_told {
        info!(collector = pipe.name, "the spool takes records again");
    }
    *batch = empty(pipe, batch.last);
}

fn tell_losses(pipe: &Pipe, tell: &Tell) {
    for (cause, records) in pipe.stats.untold() {
        warn!(collector = pipe.name, cause = cause.word(), records, "records do not reach a collector");
        tell(loss(pipe, cause, records));
    }
}
