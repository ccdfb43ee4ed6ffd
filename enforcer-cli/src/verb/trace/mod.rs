//! `trace`: what the node recorded and kept.

mod destroy;
mod export;
mod query;
mod seal;
mod span;
mod status;
mod stream;
mod summary;
mod unwrap;
pub(super) mod verify;

use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::stdin::Stdin;

/// Query, export, verify and destroy what the node recorded and kept.
#[derive(Args, Debug)]
#[command(
    long_about = "Works on what the node recorded and kept on disk. A tenant's reader sees that tenant's records and no \
                  others; what it is refused, it is refused by the agent.",
    after_help = "Examples:\n  enforcerctl trace query --verdict deny --from '2h ago'\n  \
                  enforcerctl trace verify /var/lib/enforcer/trace\n  \
                  enforcerctl trace export --format pcapng --file refused.pcapng"
)]
pub(crate) struct Trace {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Query(query::Query),
    Stream(stream::Stream),
    Summary(summary::Summary),
    Export(export::Export),
    Verify(verify::Verify),
    Status(status::Status),
    Seal(seal::Seal),
    Unwrap(unwrap::Unwrap),
    Destroy(destroy::Destroy),
}

impl Trace {
    /// Does what the verb below says.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        match &self.verb {
            Verb::Query(verb) => verb.run(global, console).await,
            Verb::Stream(verb) => verb.run(global, console).await,
            Verb::Summary(verb) => verb.run(global, console).await,
            Verb::Export(verb) => verb.run(global, console).await,
            Verb::Verify(verb) => verb.run(console),
            Verb::Status(verb) => verb.run(global, console).await,
            Verb::Seal(verb) => verb.run(global, console).await,
            Verb::Unwrap(verb) => verb.run(global, console).await,
            Verb::Destroy(verb) => verb.run(global, stdin, console).await,
        }
    }
}
