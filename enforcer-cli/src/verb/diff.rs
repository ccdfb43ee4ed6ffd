//! `diff`: what applying policy files would change.

use std::io::Read;

use clap::Args;

use super::input::{self, Input};
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::view::diff::DiffView;

/// Show what applying policy files would change.
#[derive(Args, Debug)]
#[command(
    long_about = "Shows what `apply` with the same options would add (+), change (~) and remove (-), and how many \
                  entries of the kernel's tables that costs. Nothing is changed.",
    after_help = "Examples:\n  enforcerctl diff -f policy.d/ --prune\n  \
                  enforcerctl diff -f policy.yaml -o json"
)]
pub(crate) struct Diff {
    #[command(flatten)]
    input: Input,
}

impl Diff {
    /// Asks, and prints the changes.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut dyn Read,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let request = self.input.request(stdin)?;
        let session = super::open(global).await?;
        let view = input::dry_run(&session, request).await?;
        show(&view, console)
    }
}

/// Prints the changes; problems make the run fail.
pub(super) fn show(view: &DiffView, console: &mut Console<'_>) -> Result<(), Failure> {
    console.show(view)?;
    if console.format() == Format::Table {
        view.warnings().iter().for_each(|warning| console.warn(warning));
    }
    match view.problems().len() {
        0 => console.note(&view.summary()),
        count => return Err(Failure::Invalid(count)),
    }
    Ok(())
}
