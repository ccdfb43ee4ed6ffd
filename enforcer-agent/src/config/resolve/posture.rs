//! The words of `deviceGate.posture`.

use std::time::Duration;

use super::Problems;
use crate::config::ConfigProblem;
use crate::config::raw::RawPosture;
use crate::config::settings::PostureSettings;

const SECONDS: u32 = 60;
const SECONDS_MAX: u32 = 86_400;

pub(super) fn posture(raw: Option<RawPosture>, problems: &mut Problems) -> PostureSettings {
    let seconds = raw.unwrap_or_default().seconds.unwrap_or(SECONDS);
    if seconds == 0 || seconds > SECONDS_MAX {
        problems.push(ConfigProblem::Range {
            path: "deviceGate.posture.seconds".to_owned(),
            value: seconds.into(),
            low: 1,
            high: SECONDS_MAX.into(),
        });
    }
    PostureSettings { every: Duration::from_secs(seconds.clamp(1, SECONDS_MAX).into()) }
}
