//! `detect validate`: every problem of rule files, without an agent.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use enforcer_core::detect::parse;

use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::files;
use crate::problem::Problem;
use crate::view::detect::checked::CheckedView;

/// Check rule files, and print every problem.
#[derive(Args, Debug)]
#[command(
    long_about = "Checks rules of detection, as the agent reads them, and prints every problem as file:line: path: \
                  message. No agent is asked. Exit code 1 when there is one.",
    after_help = "Examples:\n  enforcerctl detect validate /etc/enforcer/detection.yaml\n  \
                  enforcerctl detect validate detection.d/ -o json"
)]
pub(super) struct Validate {
    /// File, directory of *.yaml and *.yml files, or - for standard input.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Validate {
    /// Checks, and prints what is wrong.
    pub(super) fn run(&self, stdin: &mut dyn Read, console: &mut Console<'_>) -> Result<(), Failure> {
        let documents = files::read(&self.files, stdin)?;
        let texts: Vec<(&str, &str)> =
            documents.iter().map(|item| (item.name.as_str(), item.content.as_str())).collect();
        let view = match parse::rules(&texts) {
            Ok(rules) => CheckedView::of(&rules),
            Err(problems) => CheckedView::refused(problems.into_iter().map(Problem::from).collect()),
        };
        if console.format() != Format::Table {
            console.show(&view)?;
        } else {
            console.print(&view.problem_lines())?;
        }
        match view.problems().len() {
            0 => {
                console.note(&format!(
                    "valid: {} rules in force with those that are there anyway",
                    view.count()
                ));
                Ok(())
            }
            count => Err(Failure::Invalid(count)),
        }
    }
}
