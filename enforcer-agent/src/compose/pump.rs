//! Kernel events on their way to the records. Who does not keep up makes the kernel's rings fill, and the
//! kernel counts what it could not put there: nothing is lost in between.

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::forensics::Batch;
use crate::kernel::EventReader;

/// Events that are taken at once.
const BATCH_MAX: usize = 1024;

/// Hands over events until nobody takes them.
pub(super) async fn pump(reader: EventReader, batches: mpsc::Sender<Batch>) -> io::Result<()> {
    // SAFETY: the reader owns its descriptor, which stays open, and the same, until the reader is dropped.
    let mut reader = unsafe { AsyncFd::register_with_interest(reader, Interest::READABLE) }?;
    loop {
        let mut guard = tokio::select! {
            () = batches.closed() => return Ok(()),
            guard = reader.readable_mut() => guard?,
        };
        loop {
            let mut batch = Batch::new();
            let taken = guard.get_inner_mut().drain(BATCH_MAX, &mut |bytes| batch.push(bytes.into()));
            if !batch.is_empty() && batches.send(batch).await.is_err() {
                return Ok(());
            }
            if taken < BATCH_MAX {
                break;
            }
        }
        guard.clear_ready();
    }
}
