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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn told(seconds: Option<u32>, library: Option<&str>) -> (PostureSettings, Vec<String>) {
        let mut problems = Problems::default();
        let raw = RawPosture { seconds, nvml_library: library.map(PathBuf::from) };
        let settings = posture(Some(raw), &mut problems);
        (settings, problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_configured_is_every_minute_with_the_linkers_library() {
        let mut problems = Problems::default();
        let settings = posture(None, &mut problems);
        assert_eq!(settings, PostureSettings { every: Duration::from_secs(60), nvml_library: None });
        assert!(problems.0.is_empty());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let (settings, problems) = told(Some(5), Some("/lib/libnvidia-ml.so.1"));
        assert_eq!((settings.every.as_secs(), problems.len()), (5, 0));
        for (seconds, library) in [(Some(0), None), (Some(86_401), None), (None, Some("libnvidia-ml.so.1"))] {
            let (_, problems) = told(seconds, library);
            assert!(problems.len() == 1 && problems[0].contains("deviceGate.posture."), "{problems:?}");
        }
    }
}
