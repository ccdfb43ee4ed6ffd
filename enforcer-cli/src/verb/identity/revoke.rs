//! `identity revoke`: certificates withdrawn, and none issued.

use clap::{ArgGroup, Args};
use enforcer_proto::v1;

use super::show_changed;
use super::target::Target;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::stdin::Stdin;
use crate::verb::open;
use crate::view::identity::changed::ChangedView;

/// Withdraw certificates, and issue none until they are restored.
#[derive(Args, Debug)]
#[command(
    long_about = "Withdraws the certificates of a workload, of a tenant, or of everybody with a SPIFFE ID, and issues \
                  none until `identity restore` takes it back. Revoking a tenant empties its bundle, so that nobody \
                  trusts any of its certificates. On a terminal it asks first; elsewhere it needs --yes.",
    after_help = "Examples:\n  enforcerctl identity revoke web --reason 'key was copied'\n  \
                  enforcerctl identity revoke --tenant team-a --reason 'contract ended' --yes\n  \
                  enforcerctl identity revoke --spiffe-id spiffe://team-a.fleet.example/ns/a/sa/web --reason test",
    group = ArgGroup::new("named").required(true).args(["workload", "tenant", "spiffe_id"])
)]
pub(super) struct Revoke {
    #[command(flatten)]
    target: Target,

    /// Why, for the record.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,

    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

impl Revoke {
    /// Asks a person, then the agent, and prints who was withdrawn.
    pub(super) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        self.confirm(stdin, console)?;
        let session = open(global).await?;
        let request =
            v1::RevokeIdentityRequest { target: self.target.request(), reason: self.reason.clone() };
        let response = session.answer(session.identity().revoke(request)).await?;
        let view = ChangedView { word: "withdrawn", workloads: response.workloads, ..ChangedView::default() };
        show_changed(&view, "no workload of this node had a certificate; it is revoked all the same", console)
    }

    fn confirm(&self, stdin: &mut Stdin<'_>, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !stdin.is_terminal() {
            return Err(Failure::Unconfirmed("there is no terminal to ask on, and --yes was not given"));
        }
        console.ask(&format!("{} loses its certificate at once. Go on? [y/N] ", self.target));
        match stdin.says_yes()? {
            true => Ok(()),
            false => Err(Failure::Unconfirmed("the answer was not yes")),
        }
    }
}
