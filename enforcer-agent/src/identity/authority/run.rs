//! The authority's own clock: keys rotate, files are read again, what ended is withdrawn, though nobody asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use super::local::Local;
use crate::door::stop::Stop;

/// How often it looks.
const TICK: Duration = Duration::from_secs(2);

impl Local {
    /// Keeps everything up to date until the word to stop.
    pub async fn run(self: Arc<Self>, mut stop: Stop) {
        let mut entitlements = self.inner.entitlements.clone();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut followed = true;
        loop {
            tokio::select! {
                () = stop.wait() => return,
                _ = tick.tick() => {}
                changed = entitlements.changed(), if followed => followed = changed.is_ok(),
            }
            let inner = Arc::clone(&self.inner);
            if let Err(error) = spawn_blocking(move || inner.refresh()).await {
                error!(%error, "the authority could not be brought up to date");
            }
        }
    }
}
