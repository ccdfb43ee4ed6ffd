//! `apply`: change the policy.

use std::io::Read;

use clap::Args;

use super::input::{self, Input};
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::view::ack::AckView;

/// Change the policy: whole or not at all.
#[derive(Args, Debug)]
#[command(
    long_about = "Applies policy files: whole or not at all. It is done when the kernel was read back and holds \
                  what the files say; until then the policy that was in force stays in force. Objects are added, \
                  or replaced by name (bindings: by address); with --prune all others are deleted.",
    after_help = "Examples:\n  enforcerctl apply -f policy.yaml\n  \
                  enforcerctl apply -f policy.d/ --prune --base-revision 7\n  \
                  enforcerctl get policy -o yaml | enforcerctl apply -f - --dry-run"
)]
pub(crate) struct Apply {
    #[command(flatten)]
    input: Input,

    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    /// Applies, and prints the acknowledgement.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut dyn Read,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let request = self.input.request(stdin)?;
        let session = super::open(global).await?;
        if self.dry_run {
            let view = input::dry_run(&session, request).await?;
            return super::diff::show(&view, console);
        }
        let response = match session.answer(session.policy().apply(request.clone())).await {
            Ok(response) => response,
            Err(failure) => return Err(input::told_whole(&session, request, failure).await),
        };
        show_ack(response.ack.unwrap_or_default(), console)
    }
}

/// Prints what is in force now.
pub(super) fn show_ack(ack: enforcer_proto::v1::Ack, console: &mut Console<'_>) -> Result<(), Failure> {
    let view = AckView::from(ack);
    console.show(&view)?;
    if console.format() == Format::Table {
        for warning in view.warnings() {
            console.warn(warning);
        }
    }
    Ok(())
}
