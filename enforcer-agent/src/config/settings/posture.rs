//! How the settings that isolation rests on are looked at.

use std::path::PathBuf;
use std::time::Duration;

/// Settings that isolation rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostureSettings {
    /// How often they are read.
    pub every: Duration,
    /// NVML, where it is not in the usual place; it is then asked whether the driver is seen or not.
    pub nvml_library: Option<PathBuf>,
}
