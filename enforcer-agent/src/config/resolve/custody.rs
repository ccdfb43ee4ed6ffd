//! The words of handing devices over.

use std::time::Duration;

use enforcer_core::device::custody::Reuse;

use super::Problems;
use super::gate::{bounded, distinct, required, word};
use crate::config::ConfigProblem;
use crate::config::raw::{RawCommand, RawCustody, RawNvidia, RawScrubber};
use crate::config::settings::{CustodySettings, FileSettings, ResetWhen, ScrubSettings, ScrubberSettings};

const DRAIN_SECONDS: u64 = 90;
/// A day.
const DRAIN_SECONDS_MAX: u64 = 86_400;
/// Ten minutes: overwriting 200 GB of device memory takes a few.
const SCRUB_SECONDS: u64 = 600;
const SCRUB_SECONDS_MAX: u64 = 86_400;
const SAMPLES: u64 = 4096;
/// The driver keeps some of a GPU's memory for itself.
const MIN_COVERED: u64 = 90;
const SAMPLES_MAX: u64 = 1 << 20;
/// Arguments of one program.
const ARGV_MAX: usize = 64;
const CGROUP: &str = "/enforcer-scrubber";

pub(super) fn custody(raw: RawCustody, problems: &mut Problems) -> CustodySettings {
    let at = "deviceGate.custody";
    let reuse = match raw.reuse.as_deref() {
        None | Some("never") => Reuse::Never,
        Some("sameTenant") => Reuse::SameTenant,
        Some(other) => {
            problems.push(word(format!("{at}.reuse"), other, "never or sameTenant"));
            Reuse::Never
        }
    };
    let drain = seconds(
        format!("{at}.drainSeconds"),
        raw.drain_seconds,
        DRAIN_SECONDS,
        (0, DRAIN_SECONDS_MAX),
        problems,
    );
    let cgroup = raw.cgroup.unwrap_or_else(|| CGROUP.to_owned());
    if !cgroup.starts_with('/') || cgroup.len() < 2 || cgroup.split('/').any(|part| part == "..") {
        let expected = "a path below the cgroup root with a leading slash, not the root itself";
        problems.push(word(format!("{at}.cgroup"), &cgroup, expected));
    }
    let scrubbers = raw.scrubbers.unwrap_or_default();
    bounded("deviceGate.custody.scrubbers", scrubbers.len(), problems);
    let classes = scrubbers.iter().flat_map(|scrubber| scrubber.classes.iter().flatten());
    distinct("deviceGate.custody.scrubbers", classes.map(String::as_str), problems);
    let scrubbers = scrubbers.into_iter().enumerate();
    let scrubbers =
        scrubbers.filter_map(|(index, raw)| scrubber(&format!("{at}.scrubbers[{index}]"), raw, problems));
    CustodySettings { drain, reuse, scrubbers: scrubbers.collect(), cgroup }
}

fn scrubber(at: &str, raw: RawScrubber, problems: &mut Problems) -> Option<ScrubberSettings> {
    let RawScrubber { classes, command: by_command, overwrite, nvidia: by_nvidia } = raw;
    let classes = required(format!("{at}.classes"), classes, "the classes that it scrubs", problems)?;
    if classes.is_empty() {
        let hint = "the classes that it scrubs";
        problems.push(ConfigProblem::Empty { path: format!("{at}.classes"), hint });
    }
    let how = match (by_command, overwrite, by_nvidia) {
        (Some(raw), None, None) => command(&format!("{at}.command"), raw, problems)?,
        (None, Some(raw), None) => {
            let words = (raw.path, raw.bytes, raw.samples);
            ScrubSettings::Overwrite(file(&format!("{at}.overwrite"), words, problems)?)
        }
        (None, None, Some(raw)) => nvidia(&format!("{at}.nvidia"), raw, problems),
        _ => {
            let hint = "one of command, overwrite and nvidia";
            problems.push(ConfigProblem::Missing { path: at.to_owned(), hint });
            return None;
        }
    };
    Some(ScrubberSettings { classes, how })
}

fn command(at: &str, raw: RawCommand, problems: &mut Problems) -> Option<ScrubSettings> {
    let RawCommand { argv: words, verify, read_back, seconds: limit } = raw;
    let limit = limit_of(at, limit, problems);
    let words = required(format!("{at}.argv"), words, "the program and its arguments", problems)?;
    let argv = argv(&format!("{at}.argv"), words, problems)?;
    let verify = match verify {
        None => None,
        Some(words) => Some(self::argv(&format!("{at}.verify"), words, problems)?),
    };
    let read_back = match read_back {
        None => None,
        Some(raw) => Some(file(&format!("{at}.readBack"), (raw.path, raw.bytes, raw.samples), problems)?),
    };
    Some(ScrubSettings::Command { argv, verify, read_back, limit })
}

type FileWords = (Option<String>, Option<u64>, Option<u64>);

fn file(at: &str, (path, bytes, samples): FileWords, problems: &mut Problems) -> Option<FileSettings> {
    let path =
        required(format!("{at}.path"), path, "the device's node, such as /dev/nvidia{number}", problems)?;
    absolute(&format!("{at}.path"), &path, problems);
    if let Some(samples) = samples {
        range(format!("{at}.samples"), samples, (1, SAMPLES_MAX), problems);
    }
    Some(FileSettings { path, bytes, samples })
}

fn nvidia(at: &str, raw: RawNvidia, problems: &mut Problems) -> ScrubSettings {
    let RawNvidia { samples, min_covered, reset, reset_command, library, seconds: limit } = raw;
    let samples = samples.unwrap_or(SAMPLES);
    range(format!("{at}.samples"), samples, (1, SAMPLES_MAX), problems);
    let least = min_covered.unwrap_or(MIN_COVERED);
    range(format!("{at}.minCovered"), least, (1, 100), problems);
    let min_covered = u8::try_from(least).unwrap_or(100);
    let reset = match reset.as_deref() {
        None | Some("never") => ResetWhen::Never,
        Some("onFailure") => ResetWhen::OnFailure,
        Some("always") => ResetWhen::Always,
        Some(other) => {
            problems.push(word(format!("{at}.reset"), other, "never, onFailure or always"));
            ResetWhen::Never
        }
    };
    let reset_command = reset_command.and_then(|words| argv(&format!("{at}.resetCommand"), words, problems));
    if reset != ResetWhen::Never && reset_command.is_none() {
        let hint = "the program that resets a device";
        problems.push(ConfigProblem::Missing { path: format!("{at}.resetCommand"), hint });
    }
    if let Some(library) = &library {
        absolute(&format!("{at}.library"), &library.display().to_string(), problems);
    }
    ScrubSettings::Nvidia {
        samples,
        min_covered,
        reset,
        reset_command,
        library,
        limit: limit_of(at, limit, problems),
    }
}

/// The program by its whole path: the agent's environment finds nothing for it.
fn argv(path: &str, words: Vec<String>, problems: &mut Problems) -> Option<Vec<String>> {
    let Some(program) = words.first() else {
        problems.push(ConfigProblem::Empty { path: path.to_owned(), hint: "the program and its arguments" });
        return None;
    };
    absolute(path, program, problems);
    range(format!("length of {path}"), u64::try_from(words.len()).unwrap_or(u64::MAX), (1, 64), problems);
    (words.len() <= ARGV_MAX).then_some(words)
}

pub(super) fn absolute(path: &str, value: &str, problems: &mut Problems) {
    if !value.starts_with('/') {
        problems.push(word(path, value, "an absolute path"));
    }
}

fn limit_of(at: &str, value: Option<u64>, problems: &mut Problems) -> Duration {
    seconds(format!("{at}.seconds"), value, SCRUB_SECONDS, (1, SCRUB_SECONDS_MAX), problems)
}

fn seconds(
    path: String,
    value: Option<u64>,
    default: u64,
    bounds: (u64, u64),
    problems: &mut Problems,
) -> Duration {
    let value = value.unwrap_or(default);
    range(path, value, bounds, problems);
    Duration::from_secs(value)
}

fn range(path: String, value: u64, (low, high): (u64, u64), problems: &mut Problems) {
    if !(low..=high).contains(&value) {
        problems.push(ConfigProblem::Range { path, value, low, high });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (CustodySettings, Vec<String>) {
        let mut problems = Problems::default();
        let raw = crate::config::raw::parse(&format!("deviceGate:\n  custody: {text}\n")).unwrap();
        let settings = custody(raw.device_gate.unwrap().custody.unwrap(), &mut problems);
        (settings, problems.0.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn nothing_said_is_ninety_seconds_and_no_reuse() {
        let (settings, problems) = read("{}");
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!((settings.drain, settings.reuse), (Duration::from_secs(90), Reuse::Never));
        assert!(settings.classes().is_empty());
    }

    #[test]
    fn each_scrubber_is_read() {
        let (settings, problems) = read(
            "{reuse: sameTenant, scrubbers: [{classes: [nvidia], nvidia: {reset: onFailure, resetCommand: [/bin/reset]}}, \
             {classes: [kfd], command: {argv: [/bin/scrub], readBack: {path: /dev/kfd}}}, \
             {classes: [disk], overwrite: {path: /dev/disk, samples: 9}}]}",
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(settings.reuse, Reuse::SameTenant);
        let classes: Vec<String> = settings.classes().into_iter().collect();
        assert_eq!(classes, ["disk", "kfd", "nvidia"]);
        assert!(matches!(
            settings.scrubbers[0].how,
            ScrubSettings::Nvidia { samples: 4096, min_covered: 90, reset: ResetWhen::OnFailure, .. }
        ));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (text, place) in [
            ("{reuse: always}", "custody.reuse"),
            ("{cgroup: /}", "custody.cgroup"),
            ("{drainSeconds: 86401}", "drainSeconds"),
            ("{scrubbers: [{classes: [a]}]}", "scrubbers[0]"),
            ("{scrubbers: [{command: {argv: [/a]}}]}", "scrubbers[0].classes"),
            ("{scrubbers: [{classes: [], command: {argv: [/a]}}]}", "scrubbers[0].classes"),
            ("{scrubbers: [{classes: [a], command: {argv: [a]}}]}", "command.argv"),
            ("{scrubbers: [{classes: [a], command: {argv: []}}]}", "command.argv"),
            ("{scrubbers: [{classes: [a], command: {argv: [/a]}, nvidia: {}}]}", "scrubbers[0]"),
            ("{scrubbers: [{classes: [a], nvidia: {reset: always}}]}", "nvidia.resetCommand"),
            ("{scrubbers: [{classes: [a], nvidia: {minCovered: 0}}]}", "nvidia.minCovered"),
            ("{scrubbers: [{classes: [a, a], overwrite: {path: /a}}]}", "custody.scrubbers"),
            ("{scrubbers: [{classes: [a], overwrite: {path: a}}]}", "overwrite.path"),
        ] {
            let (_, problems) = read(text);
            assert!(problems.iter().any(|problem| problem.contains(place)), "{text}: {problems:?}");
        }
    }
}
