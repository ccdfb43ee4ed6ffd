//! What every task of the room works with.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use enforcer_core::device::holding::HandleSweep;
use enforcer_core::device::ledger::Standing;
use enforcer_core::device::number::DeviceNumber;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Parts;
use crate::group::Groups;

/// How long one walk over all processes may take.
const SWEEP_MAX: Duration = Duration::from_secs(60);

/// What every task of the room works with.
pub(super) struct Desk {
    pub(super) parts: Parts,
    pub(super) groups: Groups,
    standing: Mutex<Standing>,
    /// Devices that are being revoked.
    taken: Mutex<BTreeSet<DeviceNumber>>,
}

impl Desk {
    pub(super) fn new(parts: Parts) -> Self {
        let groups = Groups::new(parts.cgroup_root.clone());
        let standing = Mutex::new(Standing::new(parts.settings.patience));
        Self { parts, groups, standing, taken: Mutex::default() }
    }

    /// Findings over time.
    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Devices that are being revoked.
    pub(super) fn taken(&self) -> MutexGuard<'_, BTreeSet<DeviceNumber>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the kernel holds now.
    pub(super) async fn sweep(&self) -> Result<HandleSweep, String> {
        match timeout(SWEEP_MAX, self.parts.policy.handles()).await {
            Ok(Ok(sweep)) => sweep,
            Ok(Err(closed)) => Err(closed.to_string()),
            Err(_) => {
                Err(format!("the walk over all processes did not end within {} s", SWEEP_MAX.as_secs()))
            }
        }
    }
}

/// Does what blocks where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}
