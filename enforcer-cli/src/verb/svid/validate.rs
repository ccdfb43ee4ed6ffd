//! `svid validate`: whether a token is good, and what it says.

use std::io::Read as _;

use clap::Args;
use enforcer_proto::spiffe::ValidateJwtsvidRequest;

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::stdin::Stdin;
use crate::svid::endpoint::Endpoint;
use crate::svid::update::Unusable;
use crate::view::svid::claims::ClaimsView;

/// More than any header of a request may have.
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// Check a JWT-SVID for an audience, and print what it says.
#[derive(Args, Debug)]
#[command(
    long_about = "Has the agent check a JWT-SVID: its signature by the bundle of its own trust domain, its end, and \
                  that the audience is among those it is for. Exit code 1 when it is not good. Other users can read \
                  command lines: give the token on standard input where that matters.",
    after_help = "Examples:\n  enforcerctl svid validate --audience https://db.example < token\n  \
                  enforcerctl svid jwt --audience a | enforcerctl svid validate --audience a -"
)]
pub(super) struct Validate {
    #[command(flatten)]
    endpoint: Endpoint,

    /// Who we are, to whom it was shown.
    #[arg(long, value_name = "AUDIENCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    audience: String,

    /// The token; - for standard input.
    #[arg(value_name = "TOKEN|-", default_value = "-")]
    token: String,
}

impl Validate {
    /// Reads, asks, and prints.
    pub(super) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        let svid = self.token(stdin)?;
        let session = open(&self.endpoint, global).await?;
        let request = ValidateJwtsvidRequest { audience: self.audience.clone(), svid };
        let view = ClaimsView::from(session.answer(session.workload().validate_jwtsvid(request)).await?);
        match view.is_whole() {
            true => console.show(&view),
            false => Err(session.unusable(Unusable::Missing("spiffe_id"))),
        }
    }

    fn token(&self, stdin: &mut Stdin<'_>) -> Result<String, Failure> {
        if self.token != "-" {
            return Ok(self.token.clone());
        }
        let mut bytes = Vec::new();
        let read = stdin.reader().take(MAX_TOKEN_BYTES + 1).read_to_end(&mut bytes);
        let within = |read: usize| u64::try_from(read).is_ok_and(|read| read <= MAX_TOKEN_BYTES);
        match (read, String::from_utf8(bytes)) {
            (Ok(read), Ok(text)) if within(read) && !text.trim().is_empty() => Ok(text.trim().to_owned()),
            _ => Err(Failure::Usage(
                "standard input holds no token: write one line, as `svid jwt` does".to_owned(),
            )),
        }
    }
}
