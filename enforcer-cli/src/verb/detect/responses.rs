//! `detect responses`: what is being done.

use clap::Args;

use super::list;
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::view::detect::response::ResponsesView;

/// List the responses that are in force, or would be.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  enforcerctl detect responses\n  enforcerctl detect responses --tenant team-a -o json"
)]
pub(super) struct Responses {
    /// Only those to this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl Responses {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let response = list(global, self.tenant.as_ref(), console).await?;
        let view = ResponsesView::from(response.responses);
        console.show(&view)?;
        if view.is_empty() && console.format() == Format::Table {
            console.note("no response is in force");
        }
        Ok(())
    }
}
