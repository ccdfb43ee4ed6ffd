//! `trace summary`: what records add up to.

use clap::{Args, ValueEnum};
use enforcer_proto::v1;

use super::span::Span;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::verb::which::Which;
use crate::view::trace::summary::SummaryView;

/// Say who talked to whom, or who held which device.
#[derive(Args, Debug)]
#[command(
    long_about = "Sums up records that are kept: who talked to whom, how often it was allowed and refused and why, and how \
                  much was moved; or which process opened which device, how often it was refused, and whether it lives.",
    after_help = "Examples:\n  enforcerctl trace summary talks --from '24h ago'\n  \
                  enforcerctl trace summary talks --tenant team-a --verdict deny\n  \
                  enforcerctl trace summary devices -o json"
)]
pub(super) struct Summary {
    /// What is summed up.
    #[arg(value_enum, value_name = "WHAT")]
    what: What,

    #[command(flatten)]
    span: Span,

    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Who talked to whom.
    Talks,
    /// Who held which device.
    Devices,
}

impl Summary {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let what = match self.what {
            What::Talks => "talks",
            What::Devices => "devices",
        };
        let query = Some(self.span.query(&self.which)?);
        let session = open(global).await?;
        let request = v1::SummaryRequest { what: what.to_owned(), query };
        let view = SummaryView::from(session.answer(session.trace().summary(request)).await?);
        console.show(&view)?;
        if view.lost() > 0 {
            console.warn(&format!("{} records are missing from what was summed up", view.lost()));
        }
        Ok(())
    }
}
