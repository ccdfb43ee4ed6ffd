//! `tunnel list`: what is carried now.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::verb::open;
use crate::view::tunnel::TunnelsView;

/// List the flows that are carried over mutual TLS now.
#[derive(Args, Debug)]
#[command(
    long_about = "Lists the flows that are carried over mutual TLS now, with the SPIFFE IDs at both ends, then what each \
                  tenant uses of its budget. Workloads whose policy needs a tunnel and whose listeners do not stand \
                  follow as warnings. -o json holds everything: serial numbers, trace IDs, bytes both ways.",
    after_help = "Examples:\n  enforcerctl tunnel list\n  enforcerctl tunnel list --tenant team-a -o json"
)]
pub(super) struct List {
    /// Only flows with this tenant on either end.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl List {
    /// Asks, prints, and warns.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::ListTunnelsRequest { tenant: self.tenant.clone() };
        let view = TunnelsView::from(session.answer(session.tunnel().list(request)).await?);
        console.show(&view)?;
        if console.format() == Format::Table {
            view.concerns().iter().for_each(|concern| console.warn(concern));
        }
        if view.is_idle() {
            console.note(
                "no flow is carried over mutual TLS now; whether this node can is the capability mtls-tunnel of \
                 `enforcerctl status`",
            );
        }
        Ok(())
    }
}
