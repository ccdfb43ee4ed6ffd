//! The words of `deviceGate.posture`.

use std::time::Duration;

use super::Problems;
use super::custody::absolute;
use crate::config::ConfigProblem;
use crate::config::raw::RawPosture;
use crate::config::settings::PostureSettings;

const SECONDS: u32 = 60;
const SECONDS_MAX: u32 = 86_400;

pub(super) fn posture(raw: Option<RawPosture>, problems: &mut Problems) -> PostureSettings {
    let RawPosture { seconds, nvml_library } = raw.unwrap_or_default();
    let seconds = seconds.unwrap_or(SECONDS);
    if seconds == 0 || seconds > SECONDS_MAX {
        problems.push(ConfigProblem::Range {
            path: "deviceGate.posture.seconds".to_owned(),
            value: seconds.into(),
            low: 1,
            high: SECONDS_MAX.into(),
        });
    }
    if let Some(library) = &nvml_library {
        absolute("deviceGate.posture.nvmlLibrary", &library.display().to_string(), problems);
    }
    PostureSettings { nvml_library, every: Duration::from_secs(seconds.clamp(1, SECONDS_MAX).into()) }
}
