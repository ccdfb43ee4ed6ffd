//! `rollback`: an older revision in force again.

use clap::Args;
use enforcer_proto::v1;

use super::{apply, open};
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;

/// Put an older revision in force again, as a new revision.
#[derive(Args, Debug)]
#[command(
    long_about = "Puts the policy of an older revision in force again. It gets a new number, so that history only \
                  grows; it is checked and acknowledged as any other change.",
    after_help = "Examples:\n  enforcerctl get revisions\n  enforcerctl rollback 7"
)]
pub(crate) struct Rollback {
    /// Number of the revision, as `get revisions` lists it.
    revision: u64,
}

impl Rollback {
    /// Asks, and prints the acknowledgement.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::RollbackRequest { revision: self.revision };
        let response = session.answer(session.policy().rollback(request)).await?;
        apply::show_ack(response.ack.unwrap_or_default(), console)
    }
}
