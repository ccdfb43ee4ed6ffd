//! The words of `deviceGate.posture`.

use serde::Deserialize;

/// Settings that isolation rests on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawPosture {
    /// How often they are read, in seconds.
    pub seconds: Option<u32>,
}
