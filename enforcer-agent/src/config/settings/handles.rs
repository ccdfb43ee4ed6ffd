//! Settings of the ledger of handles, and of revocation.

use std::path::PathBuf;
use std::time::Duration;

/// The ledger of handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleSettings {
    /// Between two walks over all processes.
    pub sweep: Duration,
    /// The kubelet's `PodResources` socket; `None`: it is not asked.
    pub pod_resources: Option<PathBuf>,
    /// How long nobody may hold what was granted or given, before it is told.
    pub grant_without_holder: Duration,
}

/// Revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeSettings {
    /// Program and arguments that reset a device; never empty.
    pub reset_command: Option<Vec<String>>,
    /// How long it may take for one device.
    pub reset_within: Duration,
}
