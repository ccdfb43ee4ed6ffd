//! The words of `deviceGate.posture`.

use std::path::PathBuf;

use serde::Deserialize;

/// Settings that isolation rests on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawPosture {
    /// How often they are read, in seconds.
    pub seconds: Option<u32>,
    /// NVML, where it is not in the usual place.
    pub nvml_library: Option<PathBuf>,
}
