//! What buffers cost, and who pays: a tenant has so many bytes, and more than those are never held for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::proxy::tls::Purse;

/// How soon a flow asks again, when the tenant's buffers are full.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Bytes that are held, and given back when this is dropped.
pub(super) struct Hold {
    purse: Arc<dyn Purse>,
    bytes: usize,
}

impl Hold {
    /// Takes so many bytes, if there are as many.
    #[must_use]
    pub(super) fn take(purse: &Arc<dyn Purse>, bytes: usize) -> Option<Self> {
        purse.take(bytes).then(|| Self { purse: Arc::clone(purse), bytes })
    }

    /// Takes so many bytes once there are as many.
    pub(super) async fn wait(purse: &Arc<dyn Purse>, bytes: usize) -> Self {
        loop {
            if let Some(hold) = Self::take(purse, bytes) {
                return hold;
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.purse.give(self.bytes);
    }
}

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
