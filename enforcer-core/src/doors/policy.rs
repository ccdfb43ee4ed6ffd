//! The policy door: whatever comes in, there is a policy that survives being written and read again, or a list
//! of problems that say where and what.

use enforcer_proto::v1;

use crate::policy::change::{Change, Changed, apply};
use crate::policy::model::{Policy, UnixNanos};
use crate::policy::parse::limits::MAX_PROBLEMS;
use crate::policy::parse::{wire, yaml};
use crate::policy::problem::Problem;
use crate::policy::wire::snapshot;

const NOW: UnixNanos = 1_800_000_000_000_000_000;

/// A YAML file.
pub fn policy_yaml(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let documents = yaml::read(&[("fuzz.yaml", text)]);
    let strict = yaml::documents(&[("fuzz.yaml", text)]);
    if let Err(problems) = &strict {
        sensible(problems);
        let is_placed = |problem: &Problem| {
            problem.line.is_some() || matches!(problem.code, "no_documents" | "too_many_problems")
        };
        assert!(problems.iter().all(is_placed), "{problems:?}");
    }
    let outcome = apply(&Policy::default(), &Change::Documents { documents, prune: true }, NOW);
    assert!(strict.is_ok() || outcome.is_err(), "what could not be read must not be applied");
    settled(outcome);
}

/// A whole policy, or else a delta, as protobuf.
pub fn policy_wire(bytes: &[u8]) {
    if let Ok(message) = wire::decode::<v1::Snapshot>(bytes) {
        settled(apply(&Policy::default(), &Change::Snapshot(message), NOW));
    }
    if let Ok(message) = wire::decode::<v1::Delta>(bytes) {
        settled(apply(&Policy::default(), &Change::Delta(message), NOW));
    }
}

fn settled(outcome: Result<Changed, Vec<Problem>>) {
    match outcome {
        Err(problems) => sensible(&problems),
        Ok(Changed { policy, .. }) => {
            let message = snapshot(&policy);
            match apply(&Policy::default(), &Change::Snapshot(message), NOW) {
                Ok(again) => assert_eq!(again.policy, policy, "written and read again, it differs"),
                Err(problems) => panic!("what was accepted is refused when read again: {problems:?}"),
            }
        }
    }
}

pub(super) fn sensible(problems: &[Problem]) {
    assert!(!problems.is_empty(), "refused without a reason");
    assert!(problems.len() <= MAX_PROBLEMS + 1);
    for problem in problems {
        let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        assert!(is_word(problem.code) && !problem.message.is_empty(), "{problem:?}");
        assert!(!problem.to_string().chars().any(char::is_control), "{problem:?}");
    }
}
