//! `observe`: what was refused and allowed.

use clap::Args;
use enforcer_proto::v1;

use super::open;
use super::which::{self, Which};
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::view::record::RecordView;

/// Print what was refused and allowed, as it was recorded.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints records, a line each; -o json prints one JSON object a line. Where records were lost, the \
                  next one says how many. With -f it goes on until it is interrupted.",
    after_help = "Examples:\n  enforcerctl observe -f --verdict deny\n  \
                  enforcerctl observe --last 100 --tenant team-a --type device -o json\n  \
                  enforcerctl observe -f --type tunnel --tenant team-a\n  \
                  enforcerctl observe --executable curl --ip 10.1.0.0/16 --port 5432\n  \
                  enforcerctl observe -f --after 41 -o json\n  \
                  enforcerctl observe --reason cross_tenant_no_rule"
)]
pub(crate) struct Observe {
    /// Go on with new records.
    #[arg(short, long)]
    follow: bool,

    /// Start with the last N records; without it, with all that are still held.
    #[arg(long, value_name = "N")]
    last: Option<u32>,

    /// Go on behind this sequence number, as far as records are still held.
    #[arg(long, value_name = "N", conflicts_with = "last")]
    after: Option<u64>,

    #[command(flatten)]
    which: Which,
}

impl Observe {
    /// Asks, and prints each record as it comes.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        which::check(&self.request())?;
        let session = open(global).await?;
        let mut records = session.answer(session.node().observe(self.request())).await?;
        loop {
            match records.message().await {
                Ok(Some(record)) => console.show_next(&RecordView::from(record))?,
                Ok(None) if self.follow => {
                    return Err(Failure::StreamEnded { target: session.target().to_owned() });
                }
                Ok(None) => return Ok(()),
                Err(status) => return Err(session.failed(&status)),
            }
        }
    }

    fn request(&self) -> v1::ObserveRequest {
        v1::ObserveRequest { follow: self.follow, last: self.last, after: self.after, ..self.which.request() }
    }
}
