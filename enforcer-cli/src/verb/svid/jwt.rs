//! `svid jwt`: a token of this workload.

use clap::Args;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_proto::spiffe::JwtsvidRequest;

use super::open;
use crate::cli::Global;
use crate::console::{Console, Format};
use crate::failure::Failure;
use crate::svid::endpoint::Endpoint;
use crate::svid::update::Unusable;
use crate::view::svid::token::TokensView;

/// Fetch a JWT-SVID of this workload, and print it.
#[derive(Args, Debug)]
#[command(
    long_about = "Fetches a JWT-SVID of this workload and prints it. Whoever has it is this workload towards the \
                  audience until it ends: keep it out of logs and command lines.",
    after_help = "Examples:\n  enforcerctl svid jwt --audience https://db.example\n  \
                  enforcerctl svid jwt --audience a --audience b -o json"
)]
pub(super) struct Jwt {
    #[command(flatten)]
    endpoint: Endpoint,

    /// Whom it is for; may be repeated.
    #[arg(long, required = true, value_name = "AUDIENCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    audience: Vec<String>,

    /// Which of this workload's identities; without it the default one.
    #[arg(long, value_name = "ID")]
    spiffe_id: Option<SpiffeId>,
}

impl Jwt {
    /// Asks, and prints the token.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let session = open(&self.endpoint, global).await?;
        let response = session.answer(session.workload().fetch_jwtsvid(self.request())).await?;
        let view = TokensView::from(response);
        if !view.is_whole() {
            return Err(session.unusable(Unusable::Missing("svids")));
        }
        console.show(&view)?;
        if console.format() == Format::Table {
            view.others().for_each(|id| console.note(&format!("not printed: the token of {id}")));
        }
        Ok(())
    }

    /// W-7: an empty ID asks for all.
    fn request(&self) -> JwtsvidRequest {
        let spiffe_id = self.spiffe_id.as_ref().map(ToString::to_string).unwrap_or_default();
        JwtsvidRequest { audience: self.audience.clone(), spiffe_id }
    }
}
