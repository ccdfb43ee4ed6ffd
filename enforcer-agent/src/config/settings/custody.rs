//! How devices go from tenant to tenant.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use enforcer_core::device::custody::Reuse;

/// `deviceGate.custody`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustodySettings {
    /// How long a tenant may take to let go before the device is in quarantine.
    pub drain: Duration,
    /// Whether the same tenant gets it again without a scrub.
    pub reuse: Reuse,
    /// The control group of scrubbers, below the cgroup root.
    pub cgroup: String,
    /// Who scrubs what.
    pub scrubbers: Vec<ScrubberSettings>,
}

impl CustodySettings {
    /// Classes for which a scrubber is configured.
    #[must_use]
    pub fn classes(&self) -> BTreeSet<String> {
        self.scrubbers.iter().flat_map(|scrubber| scrubber.classes.iter().cloned()).collect()
    }
}

/// Who scrubs the devices of some classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubberSettings {
    /// Class names; each in one list only.
    pub classes: Vec<String>,
    /// How.
    pub how: ScrubSettings,
}

/// How a device is scrubbed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrubSettings {
    /// By a program.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
        /// Program and arguments that read samples back.
        verify: Option<Vec<String>>,
        /// The agent's own reading: path, length, places.
        read_back: Option<FileSettings>,
        /// How long each may take.
        limit: Duration,
    },
    /// As a file.
    Overwrite(FileSettings),
    /// By the agent's own helper.
    Nvidia {
        /// How many places are read back.
        samples: u64,
        /// How much must be covered, in hundredths.
        min_covered: u8,
        /// When it is reset.
        reset: ResetWhen,
        /// What resets it.
        reset_command: Option<Vec<String>>,
        /// The CUDA driver's library.
        library: Option<PathBuf>,
        /// How long it may take.
        limit: Duration,
    },
}

/// A device as a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// Where it is, with words in braces.
    pub path: String,
    /// Its length, where it cannot be asked for.
    pub bytes: Option<u64>,
    /// How many places are read back; all when `None`.
    pub samples: Option<u64>,
}

/// When a device is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetWhen {
    /// Never.
    Never,
    /// When the scrub failed.
    OnFailure,
    /// Before each scrub.
    Always,
}
