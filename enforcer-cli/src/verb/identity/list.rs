//! `identity list`: every identity of the node.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::verb::open;
use crate::view::identity::list::IdentitiesView;

/// List the identities of the node's workloads.
#[derive(Args, Debug)]
#[command(
    long_about = "Lists the identities of the node's workloads: what state each is in, when its certificate ends and \
                  is renewed, and why it has none. What a person should look at follows as warnings. -o json holds \
                  everything, trust domains and their bundles as well.",
    after_help = "Examples:\n  enforcerctl identity list\n  enforcerctl identity list --tenant team-a -o json"
)]
pub(super) struct List {
    /// Only those of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl List {
    /// Asks, prints, and warns.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::ListIdentitiesRequest { tenant: self.tenant.clone() };
        let view = IdentitiesView::from(session.answer(session.identity().list(request)).await?);
        console.show(&view)?;
        if console.format() == Format::Table {
            view.concerns().iter().for_each(|concern| console.warn(concern));
        }
        Ok(())
    }
}
