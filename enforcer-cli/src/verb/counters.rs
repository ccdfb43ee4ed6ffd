//! `counters`: the kernel's verdict counters.

use clap::Args;
use enforcer_proto::v1;

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::view::counter::CountersView;

/// Print the verdict counters of the kernel.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints packets and bytes by source, destination, reason and hook. They are exact: they do not \
                  depend on which events were recorded.",
    after_help = "Examples:\n  enforcerctl counters\n  enforcerctl counters --tenant team-a -o json"
)]
pub(crate) struct Counters {
    /// Only those with this tenant as source or destination.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl Counters {
    /// Asks, and prints.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::CountersRequest { tenant: self.tenant.clone() };
        let response = session.answer(session.node().counters(request)).await?;
        console.show(&CountersView::from(response))
    }
}
