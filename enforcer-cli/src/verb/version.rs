//! `version`: of this program. The agent's is in `status`.

use clap::Args;
use serde::Serialize;

use crate::console::{Console, Show};
use crate::failure::Failure;
use crate::style::Style;

/// Print the version of this program.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  enforcerctl version\n  enforcerctl version -o json")]
pub(crate) struct Version {}

#[derive(Debug, Serialize)]
struct VersionView {
    version: &'static str,
    api: &'static str,
}

impl Version {
    /// Prints it.
    pub(crate) fn run(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        console.show(&VersionView { version: env!("CARGO_PKG_VERSION"), api: "enforcer.v1" })
    }
}

impl Show for VersionView {
    fn text(&self, _style: Style) -> String {
        format!("enforcerctl {} ({})\n", self.version, self.api)
    }
}
