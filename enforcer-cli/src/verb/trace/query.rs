//! `trace query`: records that are kept.

use clap::Args;
use enforcer_proto::v1;

use super::span::Span;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::verb::which::Which;
use crate::view::record::RecordView;

/// Print records that are kept, the oldest first.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints records that are kept, the oldest first, a line each; -o json prints one JSON object a line. \
                  What is missing, because it was lost, removed or can no longer be read, is told in its place.",
    after_help = "Examples:\n  enforcerctl trace query --verdict deny --from '2h ago'\n  \
                  enforcerctl trace query --executable curl --tenant team-a -o json\n  \
                  enforcerctl trace query --type device --from 2026-11-28T04:00:00Z --until 2026-11-28T05:00:00Z\n  \
                  enforcerctl trace query --serial 5f3a --limit 100"
)]
pub(super) struct Query {
    #[command(flatten)]
    span: Span,

    /// Only behind this sequence number.
    #[arg(long, value_name = "N")]
    after: Option<u64>,

    /// Only the last N.
    #[arg(long, value_name = "N", conflicts_with = "limit")]
    last: Option<u32>,

    /// At most N, the oldest first.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,

    #[command(flatten)]
    which: Which,
}

impl Query {
    /// Asks, and prints each record as it comes.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let filter = v1::ObserveRequest { after: self.after, last: self.last, ..self.which.request() };
        let request = v1::QueryRequest { limit: self.limit.unwrap_or(0), ..self.span.query_of(filter)? };
        let session = open(global).await?;
        let mut records = session.answer(session.trace().query(request)).await?;
        while let Some(record) = records.message().await.map_err(|status| session.failed(&status))? {
            console.show_next(&RecordView::from(record))?;
        }
        Ok(())
    }
}
