//! `detect rules`: what is looked for.

use clap::Args;

use super::list;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::view::detect::rule::RulesView;

/// List the rules that are in force, and how often each has spoken.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  enforcerctl detect rules\n  enforcerctl detect rules --tenant team-a -o json"
)]
pub(super) struct Rules {
    /// Only rules that are for this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl Rules {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let response = list(global, self.tenant.as_ref(), console).await?;
        console.show(&RulesView::new(response.rules, response.warnings))
    }
}
