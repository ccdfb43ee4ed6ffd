//! What every door does when a connection cannot be accepted.

use std::io;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

/// How long to rest when the system has no more descriptors: accepting again at once would spin.
const REST: Duration = Duration::from_millis(100);

/// After a failed `accept`: a lost caller is none of our worry, a lack of descriptors is.
pub async fn rest_after(error: &io::Error) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    warn!(%error, "a connection could not be accepted");
    sleep(REST).await;
}
