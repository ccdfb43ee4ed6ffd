//! The words of detection. Whether the rules themselves are right is seen when they are read.

use enforcer_core::detect::limits::RESPONSES_PER_TENANT_MAX;

use super::{Problems, checked};
use crate::config::ConfigProblem;
use crate::config::raw::RawDetection;
use crate::config::settings::DetectionSettings;

const RESPONSES_DEFAULT: u64 = 4;

pub(super) fn detection(raw: RawDetection, problems: &mut Problems) -> Option<DetectionSettings> {
    let RawDetection { enabled, rules, responses_per_tenant } = raw;
    if enabled == Some(false) {
        return None;
    }
    let high = u64::try_from(RESPONSES_PER_TENANT_MAX).unwrap_or(u64::MAX);
    let value = responses_per_tenant.unwrap_or(RESPONSES_DEFAULT);
    if value < 1 || value > high {
        let path = "detection.responsesPerTenant".to_owned();
        problems.push(ConfigProblem::Range { path, value, low: 1, high });
    }
    Some(DetectionSettings {
        rules: rules.map(|path| checked("detection.rules", path, problems)),
        responses_per_tenant: usize::try_from(value).unwrap_or(RESPONSES_PER_TENANT_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_unless_it_is_turned_off() {
        let mut problems = Problems::default();
        let settings = detection(RawDetection::default(), &mut problems);
        assert_eq!(settings, Some(DetectionSettings { rules: None, responses_per_tenant: 4 }));
        let off = RawDetection { enabled: Some(false), ..RawDetection::default() };
        assert_eq!(detection(off, &mut problems), None);
        assert!(problems.0.is_empty());
    }

    #[test]
    fn what_is_out_of_bounds_is_told() {
        let mut problems = Problems::default();
        let raw =
            RawDetection { rules: Some("rules.yaml".into()), responses_per_tenant: Some(65), enabled: None };
        detection(raw, &mut problems);
        let told: Vec<String> = problems.0.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("responsesPerTenant is 65") && told[1].contains("not absolute"), "{told:?}");
    }
}
