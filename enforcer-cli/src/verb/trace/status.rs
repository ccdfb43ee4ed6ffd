//! `trace status`: how the store is.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::verb::open;
use crate::view::trace::status::StatusView;

/// Say what is kept, of whom, and what is wrong with the store.
#[derive(Args, Debug)]
#[command(
    long_about = "Says what is sealed of each tenant, up to which sequence number every record is on disk, and what is \
                  wrong with the store. -o json has the latest checkpoint as well: kept elsewhere, it proves later that \
                  nothing behind it was cut off.",
    after_help = "Examples:\n  enforcerctl trace status\n  \
                  enforcerctl trace status -o json | jq -r .checkpoint > checkpoint.json"
)]
pub(super) struct Status {}

impl Status {
    /// Asks, prints, and warns.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let status = session.answer(session.trace().status(v1::TraceStatusRequest {})).await?;
        show(status, console)
    }
}

/// Prints the state of a store; what a person should look at follows as warnings.
pub(super) fn show(status: v1::TraceStatusResponse, console: &mut Console<'_>) -> Result<(), Failure> {
    let view = StatusView::from(status);
    console.show(&view)?;
    if console.format() == Format::Table {
        view.problems().iter().for_each(|problem| console.warn(problem));
    }
    Ok(())
}
