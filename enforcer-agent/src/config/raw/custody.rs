//! How devices go from tenant to tenant, as it is written.

use std::path::PathBuf;

use serde::Deserialize;

/// `deviceGate.custody`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCustody {
    /// How long a tenant may take to let go.
    pub drain_seconds: Option<u64>,
    /// `never` or `sameTenant`.
    pub reuse: Option<String>,
    /// The control group of scrubbers, below the cgroup root.
    pub cgroup: Option<String>,
    /// Who scrubs what.
    pub scrubbers: Option<Vec<RawScrubber>>,
}

/// Who scrubs the devices of some classes: one of the three.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawScrubber {
    /// Class names.
    pub classes: Option<Vec<String>>,
    /// A program.
    pub command: Option<RawCommand>,
    /// The built-in one, for devices that are written and read as files.
    pub overwrite: Option<RawOverwrite>,
    /// The built-in one for NVIDIA's.
    pub nvidia: Option<RawNvidia>,
}

/// A program.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCommand {
    /// Program and arguments, with `{device}`, `{number}`, `{major}`, `{minor}`, `{nonce}`.
    pub argv: Option<Vec<String>>,
    /// A program that reads samples back.
    pub verify: Option<Vec<String>>,
    /// The agent reads samples back, and expects zeros.
    pub read_back: Option<RawReadBack>,
    /// How long each may take.
    pub seconds: Option<u64>,
}

/// A device as a file that should hold zeros.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawReadBack {
    /// Where it is.
    pub path: Option<String>,
    /// Its length, where it cannot be asked for.
    pub bytes: Option<u64>,
    /// How many places are read; all when absent.
    pub samples: Option<u64>,
}

/// A device as a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawOverwrite {
    /// Where it is.
    pub path: Option<String>,
    /// Its length, where it cannot be asked for.
    pub bytes: Option<u64>,
    /// How many places are read; all when absent.
    pub samples: Option<u64>,
}

/// NVIDIA's devices.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawNvidia {
    /// How many places are read back.
    pub samples: Option<u64>,
    /// How much must be covered, in hundredths.
    pub min_covered: Option<u64>,
    /// `never`, `onFailure` or `always`.
    pub reset: Option<String>,
    /// What resets it.
    pub reset_command: Option<Vec<String>>,
    /// The CUDA driver's library, where it is not in the usual place.
    pub library: Option<PathBuf>,
    /// How long it may take.
    pub seconds: Option<u64>,
}
