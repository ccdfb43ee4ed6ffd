//! `tunnel`: flows that travel over mutual TLS.

mod list;
mod metrics;

use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;

/// Show the flows that the node carries over mutual TLS.
#[derive(Args, Debug)]
#[command(
    long_about = "Shows the flows that the node carries over mutual TLS, because a rule with mtlsRequired allows them: \
                  who speaks to whom, by which certificates, and what each tenant uses of what it may use. What was \
                  carried or refused before is in `enforcerctl observe --type tunnel`.",
    after_help = "Examples:\n  enforcerctl tunnel list --tenant team-a\n  enforcerctl tunnel metrics"
)]
pub(crate) struct Tunnel {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Metrics(metrics::Metrics),
}

impl Tunnel {
    /// Does what the verb below says.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        match &self.verb {
            Verb::List(verb) => verb.run(global, console).await,
            Verb::Metrics(verb) => verb.run(global, console).await,
        }
    }
}
