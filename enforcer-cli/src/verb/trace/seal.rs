//! `trace seal`: the log into sealed files, now.

use clap::Args;
use enforcer_proto::v1;

use super::status;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;

/// Write what waits in the log into sealed files now.
#[derive(Args, Debug)]
#[command(
    long_about = "Writes what waits in the log into sealed files now, instead of at the next full hour: before a copy is \
                  taken, or so that a query engine sees it. Prints the status of the store.",
    after_help = "Examples:\n  enforcerctl trace seal"
)]
pub(super) struct Seal {}

impl Seal {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let sealed = session.answer(session.trace().seal(v1::TraceStatusRequest {})).await?;
        status::show(sealed, console)
    }
}
