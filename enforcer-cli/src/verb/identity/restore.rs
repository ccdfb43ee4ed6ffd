//! `identity restore`: a revocation taken back.

use clap::{ArgGroup, Args};
use enforcer_proto::v1;

use super::show_changed;
use super::target::Target;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::identity::changed::ChangedView;

/// Take a revocation back.
#[derive(Args, Debug)]
#[command(
    long_about = "Takes a revocation back, named as it was made. New certificates are issued; those that were \
                  withdrawn stay withdrawn.",
    after_help = "Examples:\n  enforcerctl identity restore web\n  enforcerctl identity restore --tenant team-a",
    group = ArgGroup::new("named").required(true).args(["workload", "tenant", "spiffe_id"])
)]
pub(super) struct Restore {
    #[command(flatten)]
    target: Target,
}

impl Restore {
    /// Asks, and prints who is issued certificates again.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::RestoreIdentityRequest { target: self.target.request() };
        let response = session.answer(session.identity().restore(request)).await?;
        let view = ChangedView { word: "restored", workloads: response.workloads, ..ChangedView::default() };
        show_changed(&view, "no workload of this node was waiting for it", console)
    }
}
