//! `tunnel list`: what is carried now.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::tunnel::TunnelsView;

/// List the flows that are carried now, what each tenant uses, and whose listeners stand.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  enforcerctl tunnel list\n  enforcerctl tunnel list --tenant team-a -o json"
)]
pub(super) struct List {
    /// Only flows with this tenant on either end.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl List {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::ListTunnelsRequest { tenant: self.tenant.clone() };
        let response = session.answer(session.tunnel().list(request)).await?;
        console.show(&TunnelsView::from(response))
    }
}
