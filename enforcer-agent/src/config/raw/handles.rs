//! The words about who holds devices, and how they are taken away.

use std::path::PathBuf;

use serde::Deserialize;

/// The ledger of handles.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawHandles {
    /// Seconds between two walks over all processes.
    pub sweep_seconds: Option<u64>,
    /// The kubelet's `PodResources` socket.
    pub pod_resources: Option<PathBuf>,
    /// Seconds for which nobody may hold what was granted or given, before it is told.
    pub grant_without_holder_seconds: Option<u64>,
}

/// Revocation.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawRevoke {
    /// Program and arguments that reset a device.
    pub reset_command: Option<Vec<String>>,
    /// Seconds that it may take for one device.
    pub seconds: Option<u64>,
}
