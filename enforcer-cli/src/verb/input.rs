//! The change that a command line describes: files, and what they build on.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use enforcer_proto::v1;
use enforcer_proto::v1::apply_request::Change;

use crate::failure::Failure;
use crate::files;
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

/// What a refusal tells has to fit into the headers of an answer; a dry run of the same change tells all of it.
pub(super) async fn told_whole(session: &Session, request: v1::ApplyRequest, failure: Failure) -> Failure {
    let Failure::Refused { message, problems } = failure else { return failure };
    let problems = match dry_run(session, request).await {
        // Fewer: the policy has changed meanwhile, and the refusal is what happened.
        Ok(view) if view.problems().len() >= problems.len() => view.problems().to_vec(),
        Ok(_) | Err(_) => problems,
    };
    Failure::Refused { message, problems }
}
