//! Kernel events on their way to the records. Who does not keep up makes the kernel's rings fill, and the
//! kernel counts what it could not put there: nothing is lost in between.

use std::io;
use std::time::Duration;

use enforcer_common::event::Event;
use enforcer_core::event::batch::Batch;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use crate::kernel::EventReader;

/// Events that are taken at once.
const BATCH_MAX: usize = 1024;
/// Room for their bytes, before it grows: most are decisions without a packet's bytes.
const BATCH_BYTES: usize = BATCH_MAX * size_of::<Event>();

/// Refusals wake the pump at once; samples of allowed flows do not, and are looked for this often.
const SAMPLES_EVERY: Duration = Duration::from_millis(50);

/// Hands over events until nobody takes them.
pub(super) async fn pump(reader: EventReader, batches: mpsc::Sender<Batch>) -> io::Result<()> {
    // SAFETY: the reader owns its descriptor, which stays open, and the same, until the reader is dropped.
    let mut reader = unsafe { AsyncFd::register_with_interest(reader, Interest::READABLE) }?;
    loop {
        tokio::select! {
            () = batches.closed() => return Ok(()),
            guard = reader.readable_mut() => guard?.clear_ready(),
            () = tokio::time::sleep(SAMPLES_EVERY) => {}
        }
        while hand_over(reader.get_mut(), &batches).await {}
    }
}

/// Hands over one batch; true when there may be another.
async fn hand_over(reader: &mut EventReader, batches: &mpsc::Sender<Batch>) -> bool {
    let mut batch = Batch::with_room(BATCH_MAX, BATCH_BYTES);
    let taken = reader.drain(BATCH_MAX, &mut batch);
    let is_taken = batch.is_empty() || batches.send(batch).await.is_ok();
    is_taken && taken == BATCH_MAX
}
