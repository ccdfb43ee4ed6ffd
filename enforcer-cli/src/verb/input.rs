//! The change that a command line describes: files, and what they build on.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use enforcer_proto::v1;
use enforcer_proto::v1::apply_request::Change;

use crate::failure::Failure;
use crate::files;
use crate::problem::Problem;
use crate::session::Session;
use crate::view::diff::DiffView;

/// The change that a command line describes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Input {
    /// Policy file, directory of them (*.yaml, *.yml, *.json), or - for standard input; may be repeated.
    #[arg(short, long = "file", required = true, value_name = "FILE|DIR|-")]
    files: Vec<PathBuf>,

    /// Also delete every object that the files do not name.
    #[arg(long)]
    prune: bool,

    /// Refuse when another revision is in force than the one this change was made for.
    #[arg(long, value_name = "N")]
    base_revision: Option<u64>,
}

impl Input {
    /// Reads the files.
    pub(super) fn documents(&self, stdin: &mut dyn Read) -> Result<v1::Documents, Failure> {
        Ok(v1::Documents { items: files::read(&self.files, stdin)?, prune: self.prune })
    }

    /// Reads the files into what an agent is asked.
    pub(super) fn request(&self, stdin: &mut dyn Read) -> Result<v1::ApplyRequest, Failure> {
        let change = Some(Change::Documents(self.documents(stdin)?));
        Ok(v1::ApplyRequest { base_revision: self.base_revision, change })
    }
}

/// What the change would do, or everything that is wrong with it.
pub(super) async fn dry_run(session: &Session, request: v1::ApplyRequest) -> Result<DiffView, Failure> {
    match session.answer(session.policy().validate(request)).await {
        Ok(response) => Ok(DiffView::from(response)),
        Err(Failure::Refused { problems, .. }) if !problems.is_empty() => Ok(DiffView::refused(problems)),
        Err(failure) => Err(failure),
    }
}

/// A refusal has paths only; a dry run of the same change has files and lines as well.
pub(super) async fn with_places(session: &Session, request: v1::ApplyRequest, failure: Failure) -> Failure {
    let Failure::Refused { message, problems } = failure else { return failure };
    if problems.is_empty() || problems.iter().any(|problem| problem.file.is_some()) {
        return Failure::Refused { message, problems };
    }
    let problems = match dry_run(session, request).await {
        Ok(view) if !view.problems().is_empty() => placed(problems, view.problems()),
        Ok(_) | Err(_) => problems,
    };
    Failure::Refused { message, problems }
}

/// Each problem with the place that the dry run knows for it; none is lost or added.
fn placed(mut problems: Vec<Problem>, known: &[Problem]) -> Vec<Problem> {
    for problem in &mut problems {
        let same = |other: &&Problem| other.path == problem.path && other.message == problem.message;
        if let Some(known) = known.iter().find(same) {
            problem.file.clone_from(&known.file);
            problem.line = known.line;
        }
    }
    problems
}
