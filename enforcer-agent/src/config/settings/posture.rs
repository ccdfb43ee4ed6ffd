//! How the settings that isolation rests on are looked at.

use std::time::Duration;

/// Settings that isolation rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostureSettings {
    /// How often they are read.
    pub every: Duration,
}
