//! `identity`: who the workloads of the node are, in certificates.

mod bundle;
mod enroll;
mod list;
mod metrics;
mod restore;
mod revoke;
mod rotate;
mod show;
mod target;

use clap::{Args, Subcommand};

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::stdin::Stdin;
use crate::view::identity::changed::ChangedView;

/// Show, revoke and rotate the identities of the node's workloads; enrol nodes.
#[derive(Args, Debug)]
#[command(
    long_about = "Shows, revokes and rotates the identities that the agent gives to the node's workloads: short-lived \
                  X.509-SVIDs, each from the trust domain of its tenant. No verb prints a key.",
    after_help = "Examples:\n  enforcerctl identity list --tenant team-a\n  \
                  enforcerctl identity revoke web --reason 'stolen laptop'\n  \
                  enforcerctl identity rotate --tenant team-a --authority"
)]
pub(crate) struct Identity {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    List(list::List),
    Show(show::Show),
    Revoke(revoke::Revoke),
    Restore(restore::Restore),
    Rotate(rotate::Rotate),
    Metrics(metrics::Metrics),
    Bundle(bundle::Bundle),
    Enroll(enroll::Enroll),
}

impl Identity {
    /// Does what the verb below says.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        match &self.verb {
            Verb::List(verb) => verb.run(global, console).await,
            Verb::Show(verb) => verb.run(global, console).await,
            Verb::Revoke(verb) => verb.run(global, stdin, console).await,
            Verb::Restore(verb) => verb.run(global, console).await,
            Verb::Rotate(verb) => verb.run(global, console).await,
            Verb::Metrics(verb) => verb.run(global, console).await,
            Verb::Bundle(verb) => verb.run(global, console).await,
            Verb::Enroll(verb) => verb.run(global, console).await,
        }
    }
}

/// Prints whom a change has touched; nobody is no error, and is said.
fn show_changed(view: &ChangedView, nobody: &str, console: &mut Console<'_>) -> Result<(), Failure> {
    console.show(view)?;
    if view.is_empty() {
        console.note(nobody);
    }
    Ok(())
}
