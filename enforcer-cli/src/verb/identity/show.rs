//! `identity show`: one identity and its chain.

use clap::Args;
use enforcer_proto::v1;

use crate::certificate::NoCertificate;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::verb::open;
use crate::view::identity::detail::IdentityDetailView;
use crate::view::raw::RawView;

/// Show one identity, and the certificates that are served for it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  enforcerctl identity show web\n  \
                        enforcerctl identity show web --pem | openssl x509 -noout -text")]
pub(super) struct Show {
    /// Name of the workload.
    workload: String,

    /// Print the certificate chain (PEM, leaf first) and nothing else.
    #[arg(long)]
    pem: bool,
}

impl Show {
    /// Asks, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(global).await?;
        let request = v1::ShowIdentityRequest { workload: self.workload.clone() };
        let response = session.answer(session.identity().show(request)).await?;
        if self.pem {
            return self.show_pem(response.chain_pem, console);
        }
        let unreadable = |why: NoCertificate| Failure::Unreadable { what: "a chain", why: why.to_string() };
        console.show(&IdentityDetailView::try_from(response).map_err(unreadable)?)
    }

    /// Whoever reads a chain from a pipe must not take an empty one for it.
    fn show_pem(&self, chain: String, console: &mut Console<'_>) -> Result<(), Failure> {
        match chain.is_empty() {
            true => Err(Failure::NoCertificate(self.workload.clone())),
            false => console.show(&RawView::new("chainPem", chain)),
        }
    }
}
