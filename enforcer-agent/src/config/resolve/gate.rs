//! The device gate's words.

use std::collections::BTreeSet;

use super::{Problems, custody};
use crate::config::ConfigProblem;
use crate::config::raw::{RawDeviceGate, RawExtraClass, RawHostService};
use crate::config::settings::{
    ClassRole, DeviceGateSettings, DeviceKind, ExtraClassSettings, GateMode, HostServiceSettings,
};

/// Host services and extra classes that one node may list.
const LIST_MAX: usize = 256;
/// Majors have 12 bits in the kernel.
const MAJOR_MAX: u32 = 4095;

pub(super) fn device_gate(raw: RawDeviceGate, problems: &mut Problems) -> DeviceGateSettings {
    let mode = match raw.mode.as_deref() {
        None | Some("enforce") => GateMode::Enforce,
        Some("audit") => GateMode::Audit,
        Some(other) => {
            problems.push(word("deviceGate.mode", other, "enforce or audit"));
            GateMode::Enforce
        }
    };
    let services = raw.host_services.unwrap_or_default();
    let classes = raw.extra_classes.unwrap_or_default();
    bounded("deviceGate.hostServices", services.len(), problems);
    bounded("deviceGate.extraClasses", classes.len(), problems);
    distinct("deviceGate.hostServices", services.iter().filter_map(|s| s.name.as_deref()), problems);
    distinct("deviceGate.extraClasses", classes.iter().filter_map(|c| c.name.as_deref()), problems);
    DeviceGateSettings {
        mode,
        posture: super::posture::posture(raw.posture, problems),
        host_services: services
            .into_iter()
            .enumerate()
            .filter_map(|(index, raw)| host_service(index, raw, problems))
            .collect(),
        extra_classes: classes
            .into_iter()
            .enumerate()
            .filter_map(|(index, raw)| extra_class(index, raw, problems))
            .collect(),
        custody: custody::custody(raw.custody.unwrap_or_default(), problems),
        handles: super::handles::handles(raw.handles.unwrap_or_default(), problems),
        revoke: super::handles::revoke(raw.revoke.unwrap_or_default(), problems),
    }
}

fn host_service(index: usize, raw: RawHostService, problems: &mut Problems) -> Option<HostServiceSettings> {
    let at = format!("deviceGate.hostServices[{index}]");
    let name = required(format!("{at}.name"), raw.name, "give it a name for records", problems);
    let cgroup = required(format!("{at}.cgroup"), raw.cgroup, "its path below the cgroup root", problems);
    if let Some(cgroup) = &cgroup
        && (!cgroup.starts_with('/') || cgroup.len() < 2 || cgroup.split('/').any(|part| part == ".."))
    {
        problems.push(word(
            format!("{at}.cgroup"),
            cgroup,
            "a path below the cgroup root with a leading slash, not the root itself",
        ));
    }
    if raw.classes.as_ref().is_some_and(Vec::is_empty) {
        problems.push(ConfigProblem::Empty {
            path: format!("{at}.classes"),
            hint: "name the classes it may open, or leave the word out for all of them",
        });
    }
    Some(HostServiceSettings { name: name?, cgroup: cgroup?, classes: raw.classes.unwrap_or_default() })
}

fn extra_class(index: usize, raw: RawExtraClass, problems: &mut Problems) -> Option<ExtraClassSettings> {
    let at = format!("deviceGate.extraClasses[{index}]");
    let name = required(format!("{at}.name"), raw.name, "grants refer to it", problems);
    let kind = match raw.kind.as_deref() {
        None | Some("char") => DeviceKind::Char,
        Some("block") => DeviceKind::Block,
        Some(other) => {
            problems.push(word(format!("{at}.kind"), other, "char or block"));
            DeviceKind::Char
        }
    };
    let major = required(format!("{at}.major"), raw.major, "the device's major number", problems);
    if let Some(major) = major
        && (major == 0 || major > MAJOR_MAX)
    {
        problems.push(ConfigProblem::Range {
            path: format!("{at}.major"),
            value: major.into(),
            low: 1,
            high: MAJOR_MAX.into(),
        });
    }
    let role = match raw.role.as_deref() {
        Some("accelerator") => Some(ClassRole::Accelerator),
        Some("control") => Some(ClassRole::Control),
        Some("never") => Some(ClassRole::Never),
        Some(other) => {
            problems.push(word(format!("{at}.role"), other, "accelerator, control or never"));
            None
        }
        None => required(format!("{at}.role"), None, "accelerator, control or never", problems),
    };
    Some(ExtraClassSettings { name: name?, kind, major: major?, role: role? })
}

pub(super) fn required<T>(
    path: String,
    value: Option<T>,
    hint: &'static str,
    problems: &mut Problems,
) -> Option<T> {
    if value.is_none() {
        problems.push(ConfigProblem::Missing { path, hint });
    }
    value
}

pub(super) fn bounded(path: &str, len: usize, problems: &mut Problems) {
    if len > LIST_MAX {
        problems.push(ConfigProblem::Range {
            path: format!("length of {path}"),
            value: u64::try_from(len).unwrap_or(u64::MAX),
            low: 0,
            high: 256,
        });
    }
}

pub(super) fn distinct<'a>(path: &str, names: impl Iterator<Item = &'a str>, problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            problems.push(ConfigProblem::Duplicate { path: path.to_owned(), value: name.to_owned() });
        }
    }
}

pub(super) fn word(path: impl Into<String>, value: &str, expected: &'static str) -> ConfigProblem {
    ConfigProblem::Word { path: path.into(), value: value.to_owned(), expected }
}
