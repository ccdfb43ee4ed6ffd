//! What a GPU's driver says of it, as it is handed from the process that asked to the one that judges.

use serde::{Deserialize, Serialize};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Fact {
    /// It is this.
    Is(String),
    /// The device cannot have it.
    Unsupported,
    /// It could not be asked, for this reason.
    Unknown(String),
}

impl Fact {
    /// True when it is exactly this.
    #[must_use]
    pub fn is(&self, value: &str) -> bool {
        matches!(self, Self::Is(is) if is == value)
    }
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuFacts {
    /// The number behind `/dev/nvidia`.
    pub minor: u32,
    /// `GPU-` and five groups of hexadecimal digits.
    pub uuid: String,
    /// Where it is on the bus.
    pub pci: Fact,
    /// Version of the firmware that runs its own processor.
    pub gsp: Fact,
    /// `on`, `off`
    pub ecc: Fact,
    /// `on`, `off`
    pub mig: Fact,
    /// `on`, `off`
    pub persistence: Fact,
    /// `default`, `exclusive-process`, `prohibited`, ...
    pub compute_mode: Fact,
    /// Processes with a context on it; or why they are not known.
    pub processes: Result<Vec<u32>, String>,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NvidiaFacts {
    /// The driver's version.
    pub driver: Fact,
    /// In the order of NVML.
    pub gpus: Vec<GpuFacts>,
}
