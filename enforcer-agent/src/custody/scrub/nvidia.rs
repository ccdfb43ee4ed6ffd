//! How the agent's own helper for NVIDIA's devices is called: `enforcer-agent scrub-nvidia`, a program like others, whose
//! samples are the agent's own.

use std::path::PathBuf;
use std::time::Duration;

use super::{Command, Reset};

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nvidia {
    /// The agent's program.
    pub program: String,
    /// Places that are read back.
    pub samples: u64,
    /// How much must be covered, in hundredths.
    pub min_covered: u8,
    /// When the device is reset, and what resets it.
    pub reset: Option<(Reset, Vec<String>)>,
    /// The CUDA driver's library, instead of the usual one.
    pub cuda_library: Option<PathBuf>,
    /// NVML, instead of the usual one.
    pub nvml_library: Option<PathBuf>,
    /// The control group below which it runs, by its whole path.
    pub group: Option<PathBuf>,
    /// How long it may take.
    pub limit: Duration,
}

impl From<Nvidia> for Command {
    fn from(told: Nvidia) -> Self {
        let Nvidia { program, samples, min_covered, reset, cuda_library, nvml_library, group, limit } = told;
        let (samples, least) = (samples.to_string(), min_covered.to_string());
        let words = ["scrub-nvidia", "--index", "{number}", "--nonce", "{nonce}"];
        let numbers = ["--samples", &samples, "--min-covered", &least];
        let mut argv = vec![program];
        argv.extend(words.into_iter().chain(numbers).map(str::to_owned));
        for (flag, library) in [("--cuda-library", cuda_library), ("--nvml-library", nvml_library)] {
            argv.extend(library.into_iter().flat_map(|path| [flag.to_owned(), path.display().to_string()]));
        }
        Self {
            method: "nvidia",
            argv,
            verify: None,
            reader: None,
            is_own: true,
            reset,
            group,
            min_covered,
            limit,
        }
    }
}
