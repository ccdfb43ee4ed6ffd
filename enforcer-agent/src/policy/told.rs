//! What is told of changes: each that was asked for, by whom, and what became of it.

use enforcer_core::event::record::POLICY;
use enforcer_proto::v1;

use crate::door::policy::{Accepted, Refusal};
use crate::hex::hex;

/// Problems that are told of a refusal, at most.
const PROBLEMS_MAX: usize = 8;

/// Who asks, and how it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) author: String,
    pub(super) source: String,
    /// The revision that was in force then.
    pub(super) before: u64,
}

/// The record of an answer.
pub(super) fn answered(asked: &Asked, answer: &Result<Accepted, Refusal>) -> v1::Record {
    let (event, revision, message, fields) = match answer {
        Ok(accepted) if accepted.revision == asked.before => {
            ("unchanged", accepted.revision, "it was in force already".to_owned(), kept(accepted))
        }
        Ok(accepted) => ("committed", accepted.revision, String::new(), kept(accepted)),
        Err(refusal) => refused(refusal),
    };
    let source = v1::Field { name: "source".to_owned(), value: asked.source.clone() };
    v1::Record {
        time: Some(std::time::SystemTime::now().into()),
        r#type: POLICY.to_owned(),
        revision,
        note: Some(v1::Note {
            event: event.to_owned(),
            subject: format!("revision {revision}"),
            actor: asked.author.clone(),
            level: String::new(),
            message,
            fields: std::iter::once(source).chain(fields).collect(),
        }),
        ..v1::Record::default()
    }
}

fn kept(accepted: &Accepted) -> Vec<v1::Field> {
    let digest = v1::Field { name: "digest".to_owned(), value: hex(accepted.digest.as_ref()) };
    let warnings = accepted.warnings.iter().take(PROBLEMS_MAX);
    let warnings = warnings.map(|warning| v1::Field { name: "warning".to_owned(), value: warning.clone() });
    std::iter::once(digest).chain(warnings).collect()
}

fn refused(refusal: &Refusal) -> (&'static str, u64, String, Vec<v1::Field>) {
    let problems = refusal.problems.iter().take(PROBLEMS_MAX);
    let fields =
        problems.map(|problem| v1::Field { name: problem.code.to_owned(), value: problem.to_string() });
    let message = format!("{} problems; what was in force still is", refusal.problems.len());
    ("refused", refusal.revision_in_force, message, fields.collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use enforcer_core::policy::problem::Problem;

    use super::*;

    fn asked() -> Asked {
        Asked { author: "uid:0".to_owned(), source: "apply".to_owned(), before: 7 }
    }

    fn fields(record: &v1::Record) -> Vec<(&str, &str)> {
        let note = record.note.as_ref().unwrap();
        note.fields.iter().map(|field| (field.name.as_str(), field.value.as_str())).collect()
    }

    #[test]
    fn a_change_is_told_with_its_author_and_digest() {
        let accepted = |revision| {
            Ok(Accepted {
                revision,
                digest: [0xab; 32],
                elapsed: Duration::ZERO,
                warnings: vec!["w".to_owned()],
            })
        };
        let record = answered(&asked(), &accepted(8));
        let note = record.note.clone().unwrap();
        assert_eq!((note.event.as_str(), note.actor.as_str(), record.revision), ("committed", "uid:0", 8));
        let digest = "ab".repeat(32);
        assert_eq!(fields(&record), [("source", "apply"), ("digest", &digest), ("warning", "w")]);
        assert_eq!(answered(&asked(), &accepted(7)).note.unwrap().event, "unchanged");
    }

    #[test]
    fn a_refusal_is_told_with_its_problems_and_what_stays_in_force() {
        let problem = Problem::new("unknown_field", "rules[a].to", "no such field");
        let refusal = Refusal { problems: vec![problem; 20], revision_in_force: 7 };
        let record = answered(&asked(), &Err(refusal));
        assert_eq!((record.note.as_ref().unwrap().event.as_str(), record.revision), ("refused", 7));
        assert_eq!(fields(&record).len(), 1 + PROBLEMS_MAX);
        assert_eq!(fields(&record)[1].0, "unknown_field");
    }
}
