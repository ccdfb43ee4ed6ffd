//! `detect end`: a response is over before its time.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::detect::response::ResponsesView;

/// End a response before it expires.
#[derive(Args, Debug)]
#[command(
    long_about = "Ends a response before it expires: the tenant opens new flows again, or the workload is issued \
                  certificates again. That it was undone is on record as `ended`.",
    after_help = "Examples:\n  enforcerctl detect end 6a2f-3"
)]
pub(super) struct End {
    /// Its number, from `detect responses`.
    #[arg(value_name = "ID")]
    id: String,
}

impl End {
    /// Asks, and prints what ends.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::EndResponseRequest { id: self.id.clone() };
        let response = session.answer(session.detection().end_response(request)).await?;
        console.show(&ResponsesView::from(Vec::from_iter(response.response)))
    }
}
