//! `detect baselines`: what is usual.

use clap::Args;

use super::list;
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::view::detect::baseline::BaselinesView;

/// List what was learned to be usual for each tenant.
#[derive(Args, Debug)]
#[command(
    long_about = "Lists what was learned to be usual for each tenant by each rule with a factor: the median of its latest \
                  windows, their deviation, and the limit that comes of them, with a sentence that says how.",
    after_help = "Examples:\n  enforcerctl detect baselines\n  enforcerctl detect baselines --tenant team-a -o json"
)]
pub(super) struct Baselines {
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl Baselines {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let response = list(global, self.tenant.as_ref(), console).await?;
        let view = BaselinesView::from(response.baselines);
        console.show(&view)?;
        if view.is_empty() && console.format() == Format::Table {
            console.note("nothing was learned yet: no tenant did anything that a rule with a factor counts");
        }
        Ok(())
    }
}
