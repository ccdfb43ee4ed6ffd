//! Checking without an agent: the same parser and the same checks, against an empty policy.

use enforcer_core::policy::change::{self, Change};
use enforcer_core::policy::model::Policy;
use enforcer_core::policy::parse::yaml;
use enforcer_core::policy::problem;
use enforcer_proto::v1;

use crate::clock;
use crate::problem::Problem;
use crate::view::diff::DiffView;

/// Everything that is wrong with the documents as a whole policy.
pub(super) fn check(documents: &v1::Documents) -> DiffView {
    let files: Vec<(&str, &str)> =
        documents.items.iter().map(|item| (item.name.as_str(), item.content.as_str())).collect();
    let read = yaml::read(&files);
    let snapshot = read.snapshot().clone();
    let change = Change::Documents { documents: read, prune: true };
    match change::apply(&Policy::default(), &change, clock::unix_nanos()) {
        Ok(changed) => DiffView::of_new_policy(snapshot, changed.warnings),
        Err(problems) => DiffView::refused(problems.into_iter().map(Problem::from).collect()),
    }
}

impl From<problem::Problem> for Problem {
    fn from(problem: problem::Problem) -> Self {
        Self::from(v1::Problem::from(problem))
    }
}
