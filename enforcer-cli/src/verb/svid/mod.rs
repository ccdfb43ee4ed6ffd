//! `svid`: what a workload asks of the SPIFFE Workload API for itself.

mod fetch;
mod follow;
mod jwt;
mod stop;
mod validate;
mod watch;

use std::future::Future;

use clap::{Args, Subcommand};
use enforcer_proto::spiffe::X509svidResponse;
use tonic::Status;

use crate::cli::Global;
use crate::clock;
use crate::console::Console;
use crate::failure::Failure;
use crate::session::Session;
use crate::stdin::Stdin;
use crate::svid::endpoint::Endpoint;
use crate::svid::update::Update;

/// Fetch and check SVIDs as a workload, through the SPIFFE Workload API.
#[derive(Args, Debug)]
#[command(
    long_about = "Fetches and checks SVIDs as a workload does. The agent gives them to the process that asks, by the \
                  control group that the kernel says it is in: these verbs work inside of a workload.",
    after_help = "Examples:\n  enforcerctl svid fetch\n  \
                  enforcerctl svid watch --write /run/web/tls --pid-file /run/nginx.pid --signal HUP\n  \
                  enforcerctl svid jwt --audience https://db.example"
)]
pub(crate) struct SvidVerbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Fetch(fetch::Fetch),
    Watch(watch::Watch),
    Jwt(jwt::Jwt),
    Validate(validate::Validate),
}

impl SvidVerbs {
    /// Does what the verb below says.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        match &self.verb {
            Verb::Fetch(verb) => verb.run(global, console).await,
            Verb::Watch(verb) => verb.run(global, console).await,
            Verb::Jwt(verb) => verb.run(global, console).await,
            Verb::Validate(verb) => verb.run(global, stdin, console).await,
        }
    }
}

/// A connection to the Workload API that the options name.
async fn open(endpoint: &Endpoint, global: &Global) -> Result<Session, Failure> {
    Session::open(&endpoint.target()?, global.request_timeout).await
}

/// Takes a message apart.
fn parse(session: &Session, message: X509svidResponse) -> Result<Update, Failure> {
    Update::parse(message, &clock::now()).map_err(|unusable| session.unusable(unusable))
}

/// The next message of a stream that does not end by itself.
async fn next<T>(
    session: &Session,
    message: impl Future<Output = Result<Option<T>, Status>>,
) -> Result<T, Failure> {
    let message = message.await.map_err(|status| session.failed(&status))?;
    message.ok_or_else(|| Failure::StreamEnded { target: session.target().to_owned() })
}
