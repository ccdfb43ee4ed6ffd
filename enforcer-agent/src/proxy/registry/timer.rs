//! One timer for every flow's deadline.

use std::sync::Arc;
use std::time::Duration;

use super::Registry;
use crate::door::stop::Stop;

/// The longest sleep: the time of day may be set while it lasts.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Ends flows when a certificate or a lease of theirs does, until told to stop. `clock` is the time of day, since the
/// Unix epoch.
pub async fn follow_deadlines(
    registry: Arc<Registry>,
    clock: Arc<dyn Fn() -> Duration + Send + Sync>,
    mut stop: Stop,
) {
    loop {
        let now = clock();
        let next = registry.expire(now);
        let sleep = next.map_or(SLEEP_MAX, |next| next.saturating_sub(now).min(SLEEP_MAX));
        tokio::select! {
            () = tokio::time::sleep(sleep) => {}
            // A deadline before the one that is waited for. One that was set since `expire` has left its mark.
            () = registry.earlier.notified() => {}
            () = stop.wait() => return,
        }
    }
}
