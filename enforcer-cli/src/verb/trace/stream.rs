//! `trace stream`: kept records, then those to come.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::verb::which::{self, Which};
use crate::view::record::RecordView;

/// Print kept records, then those to come, each once it is on disk.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints records behind a sequence number, then those to come, each once it is on disk. None that is kept \
                  is missing: a stream that broke off goes on with --after and the last number that was seen. Without \
                  --after and --last it begins with the next record.",
    after_help = "Examples:\n  enforcerctl trace stream --after 0 -o json\n  \
                  enforcerctl trace stream --after 184467 --verdict deny -o json\n  \
                  enforcerctl trace stream --last 10"
)]
pub(super) struct Stream {
    /// Begin behind this sequence number.
    #[arg(long, value_name = "N")]
    after: Option<u64>,

    /// Begin with the last N that are kept.
    #[arg(long, value_name = "N", conflicts_with = "after")]
    last: Option<u32>,

    #[command(flatten)]
    which: Which,
}

impl Stream {
    /// Asks, and prints each record as it comes, until it is interrupted.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let request =
            v1::ObserveRequest { follow: true, after: self.after, last: self.last, ..self.which.request() };
        which::check(&request)?;
        let session = open(global).await?;
        let mut records = session.answer(session.trace().stream(request)).await?;
        while let Some(record) = records.message().await.map_err(|status| session.failed(&status))? {
            console.show_next(&RecordView::from(record))?;
        }
        Err(Failure::StreamEnded { target: session.target().to_owned() })
    }
}
