//! `validate`: every problem of policy files.

use std::io::Read;

use clap::Args;

use super::input::{self, Input};
use super::offline;
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;

/// Check policy files, and print every problem.
#[derive(Args, Debug)]
#[command(
    long_about = "Checks policy files against the policy in force and against what the node can enforce, and \
                  prints every problem as file:line: path: message. Exit code 1 when there is one.\n\n\
                  With --offline no agent is asked: the files are checked as a whole policy of their own, for \
                  everything that does not depend on a node.",
    after_help = "Examples:\n  enforcerctl validate -f policy.d/\n  \
                  enforcerctl validate --offline -f policy.yaml"
)]
pub(crate) struct Validate {
    #[command(flatten)]
    input: Input,

    /// Ask no agent; take the files for the whole policy.
    #[arg(long, conflicts_with_all = ["base_revision", "prune"])]
    offline: bool,
}

impl Validate {
    /// Checks, and prints what is wrong.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut dyn Read,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let view = if self.offline {
            offline::check(&self.input.documents(stdin)?)
        } else {
            let request = self.input.request(stdin)?;
            input::dry_run(&super::open(global).await?, request).await?
        };
        if console.format() != Format::Table {
            console.show(&view)?;
        } else {
            console.print(&view.problem_lines())?;
            view.warnings().iter().for_each(|warning| console.warn(warning));
        }
        match view.problems().len() {
            0 => console.note(&format!("valid: {}", view.summary())),
            count => return Err(Failure::Invalid(count)),
        }
        Ok(())
    }
}
