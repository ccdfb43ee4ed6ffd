//! `identity rotate`: new certificates before the old ones end.

use clap::Args;
use enforcer_proto::v1;

use super::show_changed;
use super::target::Target;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::identity::changed::ChangedView;

/// Issue new certificates, or begin with new authorities.
#[derive(Args, Debug)]
#[command(
    long_about = "Issues new certificates with new keys, to everybody on the node when nobody is named. The old ones \
                  are served until the new ones are there, and stay valid until they end.\n\n\
                  With --authority new authorities are published for the tenants. They sign only when every peer has \
                  had time to learn them, and the old ones stay in the bundles until what they signed has ended.",
    after_help = "Examples:\n  enforcerctl identity rotate web\n  enforcerctl identity rotate --tenant team-a\n  \
                  enforcerctl identity rotate --tenant team-a --authority"
)]
pub(super) struct Rotate {
    #[command(flatten)]
    target: Target,

    /// The tenants' authorities instead of the workloads' certificates.
    #[arg(long)]
    authority: bool,
}

impl Rotate {
    /// Asks, and prints what is new.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::RotateIdentityRequest { target: self.target.request(), authority: self.authority };
        let response = session.answer(session.identity().rotate(request)).await?;
        let v1::RotateIdentityResponse { workloads, trust_domains } = response;
        let view = ChangedView { word: "rotating", workloads, trust_domains };
        show_changed(
            &view,
            "there is nothing to rotate: nobody named has a certificate on this node",
            console,
        )
    }
}
