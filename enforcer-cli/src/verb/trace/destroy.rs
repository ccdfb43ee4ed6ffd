//! `trace destroy`: a tenant's traces made unreadable for good.

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::stdin::Stdin;
use crate::verb::open;
use crate::view::trace::receipt::ReceiptView;

/// Destroy a tenant's key: its traces can never be read again, by anybody.
#[derive(Args, Debug)]
#[command(
    long_about = "Destroys a tenant's key. Its traces stay where they are and are verified as before, and nobody can ever \
                  read them again; its halves of what happened with others go with them. Prints the receipt, which is \
                  signed by the key that signs checkpoints. What is recorded of the tenant from now on gets another key. \
                  On a terminal it asks first; elsewhere it needs --yes.",
    after_help = "Examples:\n  enforcerctl trace destroy team-a --reason 'contract ended'\n  \
                  enforcerctl trace destroy team-a --reason 'contract ended' --yes -o json > receipt.json"
)]
pub(super) struct Destroy {
    /// Whose traces.
    #[arg(value_name = "TENANT")]
    tenant: String,

    /// Why, for the receipt.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,

    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

impl Destroy {
    /// Asks a person, then the agent, and prints the receipt.
    pub(super) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        self.confirm(stdin, console)?;
        let session = open(global).await?;
        let request = v1::DestroyRequest { tenant: self.tenant.clone(), reason: self.reason.clone() };
        let response = session.answer(session.trace().destroy(request)).await?;
        console.show(&ReceiptView::parse(response.receipt)?)
    }

    fn confirm(&self, stdin: &mut Stdin<'_>, console: &mut Console<'_>) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !stdin.is_terminal() {
            return Err(Failure::Unconfirmed("there is no terminal to ask on, and --yes was not given"));
        }
        console.ask(&format!("Nobody can ever read the traces of {} again. Go on? [y/N] ", self.tenant));
        match stdin.says_yes()? {
            true => Ok(()),
            false => Err(Failure::Unconfirmed("the answer was not yes")),
        }
    }
}
