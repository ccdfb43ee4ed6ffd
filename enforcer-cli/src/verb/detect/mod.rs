//! `detect`: what is unusual on the node, and what is done about it.

mod baselines;
mod end;
mod freeze;
mod responses;
mod rules;
mod validate;

use clap::{Args, Subcommand};
use enforcer_proto::v1;

use super::open;
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::stdin::Stdin;

/// Show what is looked for in the records, what is usual, and what is being done.
#[derive(Args, Debug)]
#[command(
    long_about = "Shows the rules that the agent holds against the records of the node, what it has learned to be usual \
                  for each tenant, and the responses that are in force. What was raised before is in \
                  `enforcerctl observe --type alert` and `--type response`.",
    after_help = "Examples:\n  enforcerctl detect rules\n  enforcerctl detect baselines --tenant team-a\n  \
                  enforcerctl detect end 6a2f-3\n  enforcerctl detect validate detection.d/"
)]
pub(crate) struct Detect {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Rules(rules::Rules),
    Baselines(baselines::Baselines),
    Responses(responses::Responses),
    Freeze(freeze::Freeze),
    Unfreeze(freeze::Unfreeze),
    End(end::End),
    Validate(validate::Validate),
}

impl Detect {
    /// Does what the verb below says.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        match &self.verb {
            Verb::Rules(verb) => verb.run(global, console).await,
            Verb::Baselines(verb) => verb.run(global, console).await,
            Verb::Responses(verb) => verb.run(global, console).await,
            Verb::Freeze(verb) => verb.run(global, console).await,
            Verb::Unfreeze(verb) => verb.run(global, console).await,
            Verb::End(verb) => verb.run(global, console).await,
            Verb::Validate(verb) => verb.run(stdin.reader(), console),
        }
    }
}

/// Everything of detection, of one tenant or of all; what a person should know is warned of.
async fn list(
    global: &Global,
    tenant: Option<&String>,
    console: &mut Console<'_>,
) -> Result<v1::ListDetectionResponse, Failure> {
    let session = open(global).await?;
    let request = v1::ListDetectionRequest { tenant: tenant.cloned() };
    let response = session.answer(session.detection().list(request)).await?;
    if console.format() == Format::Table {
        response.warnings.iter().for_each(|warning| console.warn(warning));
    }
    Ok(response)
}
