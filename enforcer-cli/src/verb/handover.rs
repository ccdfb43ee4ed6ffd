//! `handover`: a person's word about a device between two tenants.

use clap::{Args, Subcommand};
use enforcer_proto::v1;

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::view::custody::StepView;

/// Drain, scrub or release a device.
#[derive(Args, Debug)]
#[command(
    long_about = "Takes a device from its tenants, has it scrubbed, or says that it is clean. Each state that it comes to \
                  is printed, until it is available, in use or failed; it goes on when this program is interrupted. \
                  `enforcerctl get custody` shows where it is.",
    after_help = "Examples:\n  enforcerctl handover drain nvidia:0 --reason 'maintenance'\n  \
                  enforcerctl handover scrub nvidia:0\n  \
                  enforcerctl handover release nvidia:0 --reason 'memory looked at by hand, ticket 42'"
)]
pub(crate) struct Handover {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Take it from its tenants, and scrub it once nobody holds it. Whoever is still granted it gets it back then.
    #[command(after_help = "Examples:\n  enforcerctl handover drain nvidia:0")]
    Drain(What),
    /// Scrub it, out of quarantine or after a failure.
    #[command(after_help = "Examples:\n  enforcerctl handover scrub nvidia:0")]
    Scrub(What),
    /// Say that it is clean, without a scrub. Needs a reason, and writes a receipt that says who said so.
    #[command(after_help = "Examples:\n  enforcerctl handover release nvidia:0 --reason 'ticket 42'")]
    Release(What),
}

#[derive(Args, Debug)]
struct What {
    /// CLASS:NUMBER, /dev/NAME or "c MAJOR:MINOR".
    device: String,

    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

impl Handover {
    /// Asks, and prints what becomes of it.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let (verb, what) = match &self.verb {
            Verb::Drain(what) => ("drain", what),
            Verb::Scrub(what) => ("scrub", what),
            Verb::Release(what) => ("release", what),
        };
        if verb == "release" && what.reason.trim().is_empty() {
            return Err(Failure::Usage("say --reason: whoever releases a device answers for it".to_owned()));
        }
        let session = open(global).await?;
        let request = v1::HandoverRequest {
            device: what.device.clone(),
            verb: verb.to_owned(),
            reason: what.reason.clone(),
        };
        let mut steps = session.answer(session.device().handover(request)).await?;
        while let Some(step) = steps.message().await.map_err(|status| session.failed(&status))? {
            let has_failed = step.state == "failed";
            let detail = step.detail.clone();
            console.show_next(&StepView::from(step))?;
            if has_failed {
                let (device, verb) = (what.device.clone(), verb);
                return Err(Failure::NotClean { device, verb, detail });
            }
        }
        Ok(())
    }
}
