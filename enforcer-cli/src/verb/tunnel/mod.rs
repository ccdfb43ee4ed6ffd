//! `tunnel`: what the node carries over mutual TLS.

mod list;
mod metrics;

use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;

/// Show what the node carries over mutual TLS.
#[derive(Args, Debug)]
#[command(
    long_about = "Shows the flows that the node carries over mutual TLS now, what each tenant uses of its share, and \
                  whether the workloads' listeners stand. Flows that have ended are records: `observe --type tunnel`.",
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
