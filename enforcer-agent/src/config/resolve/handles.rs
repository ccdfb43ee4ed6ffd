//! The words about who holds devices, and how they are taken away.

use std::path::Path;
use std::time::Duration;

use super::Problems;
use crate::config::ConfigProblem;
use crate::config::raw::{RawHandles, RawRevoke};
use crate::config::settings::{HandleSettings, RevokeSettings};

const SWEEP_SECONDS: u64 = 10;
const SWEEP_MAX: u64 = 3_600;
const GRANT_WITHOUT_HOLDER_SECONDS: u64 = 600;
const GRANT_WITHOUT_HOLDER_MAX: u64 = 604_800;
const RESET_SECONDS: u64 = 30;
/// As long as a whole revocation may take.
const RESET_MAX: u64 = 600;
/// Words of a command.
const WORDS_MAX: usize = 64;

pub(super) fn handles(raw: RawHandles, problems: &mut Problems) -> HandleSettings {
    let mut seconds = |word: &str, value: Option<u64>, default, high| {
        number(format!("deviceGate.handles.{word}"), value.unwrap_or(default), high, problems)
    };
    let sweep = seconds("sweepSeconds", raw.sweep_seconds, SWEEP_SECONDS, SWEEP_MAX);
    let grant_without_holder = seconds(
        "grantWithoutHolderSeconds",
        raw.grant_without_holder_seconds,
        GRANT_WITHOUT_HOLDER_SECONDS,
        GRANT_WITHOUT_HOLDER_MAX,
    );
    if let Some(socket) = &raw.pod_resources {
        absolute("deviceGate.handles.podResources", socket, problems);
    }
    HandleSettings { sweep, pod_resources: raw.pod_resources, grant_without_holder }
}

pub(super) fn revoke(raw: RawRevoke, problems: &mut Problems) -> RevokeSettings {
    let seconds = raw.seconds.unwrap_or(RESET_SECONDS);
    let reset_within = number("deviceGate.revoke.seconds".to_owned(), seconds, RESET_MAX, problems);
    let path = "deviceGate.revoke.resetCommand";
    if let Some(command) = &raw.reset_command {
        match command.first() {
            // Without a PATH in its environment nothing else would be found.
            Some(program) => absolute(path, Path::new(program), problems),
            None => problems.push(ConfigProblem::Empty {
                path: path.to_owned(),
                hint: "write a program and its arguments, or leave the word out",
            }),
        }
        if command.len() > WORDS_MAX {
            problems.push(ConfigProblem::Range {
                path: format!("length of {path}"),
                value: u64::try_from(command.len()).unwrap_or(u64::MAX),
                low: 1,
                high: 64,
            });
        }
    }
    RevokeSettings { reset_command: raw.reset_command, reset_within }
}

fn number(path: String, value: u64, high: u64, problems: &mut Problems) -> Duration {
    if value == 0 || value > high {
        problems.push(ConfigProblem::Range { path, value, low: 1, high });
    }
    Duration::from_secs(value)
}

fn absolute(path: &str, value: &Path, problems: &mut Problems) {
    if !value.is_absolute() {
        problems.push(ConfigProblem::Relative { path: path.to_owned(), value: value.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(handles: RawHandles, revoke_words: RawRevoke) -> Vec<String> {
        let mut problems = Problems::default();
        let _settings = handles_and_revoke(handles, revoke_words, &mut problems);
        problems.0.iter().map(ToString::to_string).collect()
    }

    fn handles_and_revoke(
        raw: RawHandles,
        words: RawRevoke,
        problems: &mut Problems,
    ) -> (HandleSettings, RevokeSettings) {
        (handles(raw, problems), revoke(words, problems))
    }

    #[test]
    fn nothing_configured_is_ten_seconds_ten_minutes_and_no_reset() {
        let mut problems = Problems::default();
        let (handles, revoke) =
            handles_and_revoke(RawHandles::default(), RawRevoke::default(), &mut problems);
        assert!(problems.0.is_empty());
        assert_eq!((handles.sweep.as_secs(), handles.grant_without_holder.as_secs()), (10, 600));
        assert_eq!((handles.pod_resources, revoke.reset_command), (None, None));
    }

    #[test]
    fn every_word_is_bounded() {
        let handles = RawHandles {
            sweep_seconds: Some(0),
            pod_resources: Some("kubelet.sock".into()),
            grant_without_holder_seconds: Some(u64::MAX),
        };
        let revoke = RawRevoke { reset_command: Some(vec!["nvidia-smi".to_owned()]), seconds: Some(601) };
        let all = told(handles, revoke);
        assert_eq!(all.len(), 5, "{all:#?}");
        let empty = RawRevoke { reset_command: Some(Vec::new()), seconds: None };
        let all = told(RawHandles::default(), empty);
        assert!(all.len() == 1 && all[0].contains("resetCommand"), "{all:#?}");
        let long = RawRevoke { reset_command: Some(vec!["/x".to_owned(); 65]), seconds: None };
        assert_eq!(told(RawHandles::default(), long).len(), 1);
    }
}
