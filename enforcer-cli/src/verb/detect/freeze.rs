//! `detect freeze` and `detect unfreeze`: whether it goes on to learn what is usual.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::detect::baseline::BaselinesView;

/// Learn no more of a tenant; what was learned stays in force.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  enforcerctl detect freeze team-a\n  enforcerctl detect freeze team-a --rule volume"
)]
pub(super) struct Freeze {
    #[command(flatten)]
    whose: Whose,
}

/// Go on to learn what is usual for a tenant.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  enforcerctl detect unfreeze team-a --rule volume")]
pub(super) struct Unfreeze {
    #[command(flatten)]
    whose: Whose,
}

#[derive(Args, Debug)]
struct Whose {
    /// The tenant.
    #[arg(value_name = "TENANT")]
    tenant: String,

    /// Only what this rule learns; all of it when nothing is said.
    #[arg(long, value_name = "RULE", default_value = "", hide_default_value = true)]
    rule: String,
}

impl Freeze {
    /// Asks, and prints what it is for.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        self.whose.set(true, global, console).await
    }
}

impl Unfreeze {
    /// Asks, and prints what it is for.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        self.whose.set(false, global, console).await
    }
}

impl Whose {
    async fn set(&self, frozen: bool, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::FreezeRequest { tenant: self.tenant.clone(), rule: self.rule.clone(), frozen };
        let response = session.answer(session.detection().freeze(request)).await?;
        console.show(&BaselinesView::from(response.baselines))
    }
}
