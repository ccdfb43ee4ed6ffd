//! Records that are made elsewhere in the agent, not from the kernel's events: they wait their turn here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use enforcer_proto::v1;
use tokio::sync::mpsc;

use crate::door::records::Tell;

/// Records that wait for their number.
const WAITING_MAX: usize = 16_384;

/// Who makes records. It never waits: what finds the queue full is counted, and told as a loss.
#[derive(Clone, Debug)]
pub struct Maker {
    queue: mpsc::Sender<v1::Record>,
    missed: Arc<AtomicU64>,
}

/// The other end.
#[derive(Debug)]
pub struct Made {
    queue: mpsc::Receiver<v1::Record>,
    missed: Arc<AtomicU64>,
}

/// A queue of records.
#[must_use]
pub fn queue() -> (Maker, Made) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let missed = Arc::new(AtomicU64::new(0));
    (Maker { queue: sender, missed: Arc::clone(&missed) }, Made { queue: receiver, missed })
}

impl Maker {
    /// The same, for rooms that know only the door.
    #[must_use]
    pub fn teller(&self) -> Tell {
        let maker = self.clone();
        Arc::new(move |record| maker.tell(record))
    }

    /// Hands a record over.
    pub fn tell(&self, record: v1::Record) {
        if self.queue.try_send(record).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Made {
    /// What waits now.
    #[cfg(test)]
    pub(crate) async fn waiting(&mut self) -> Vec<v1::Record> {
        let mut records = Vec::new();
        while let Ok(record) = self.queue.try_recv() {
            records.push(record);
        }
        records
    }

    /// The next records, up to `limit`, and how many were lost before them; never returns once every maker is gone.
    pub(super) async fn take(&mut self, limit: usize) -> (Vec<v1::Record>, u64) {
        let mut records = Vec::new();
        if self.queue.recv_many(&mut records, limit).await == 0 {
            std::future::pending::<()>().await;
        }
        (records, self.missed.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let (maker, mut made) = queue();
        for _ in 0..WAITING_MAX + 3 {
            maker.tell(v1::Record::default());
        }
        let (records, lost) = made.take(10).await;
        assert_eq!((records.len(), lost), (10, 3));
        assert_eq!(made.take(10).await.1, 0);
    }
}
