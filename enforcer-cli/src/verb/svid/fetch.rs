//! `svid fetch`: what this workload has now.

use std::path::PathBuf;

use clap::Args;
use enforcer_proto::spiffe::X509svidRequest;

use super::{next, open, parse};
use crate::cli::Global;
use crate::clock;
use crate::console::Console;
use crate::failure::Failure;
use crate::session::Session;
use crate::svid::directory::{Change, Directory};
use crate::svid::endpoint::Endpoint;
use crate::svid::files::Files;
use crate::svid::update::Update;
use crate::view::svid::UpdateView;

/// Fetch this workload's X.509-SVIDs, and print or keep them.
#[derive(Args, Debug)]
#[command(
    long_about = "Fetches this workload's X.509-SVIDs and prints what they say, never a key. With --write it also \
                  keeps the default one: svid.pem (the chain), svid_key.pem, bundle.pem, federated/*.pem and crl.pem, \
                  all of them at once, for nobody but who runs this.",
    after_help = "Examples:\n  enforcerctl svid fetch\n  enforcerctl svid fetch --write /run/web/tls\n  \
                  SPIFFE_ENDPOINT_SOCKET=unix:///run/spire/api.sock enforcerctl svid fetch -o json"
)]
pub(super) struct Fetch {
    #[command(flatten)]
    endpoint: Endpoint,

    /// Directory to keep them in: empty, not there yet, or written by this program before.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

impl Fetch {
    /// Asks, writes, and prints.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let directory = self.write.as_deref().map(Directory::open).transpose()?;
        let session = open(&self.endpoint, global).await?;
        let update = session.in_time(first(&session)).await??;
        if let Some(directory) = directory {
            keep(&directory, &update, console)?;
        }
        console.show(&UpdateView::new(&update, &clock::now()))
    }
}

async fn first(session: &Session) -> Result<Update, Failure> {
    let mut client = session.workload();
    let stream = client.fetch_x509svid(X509svidRequest {}).await;
    let mut stream = stream.map_err(|status| session.failed(&status))?.into_inner();
    let message = next(session, stream.message()).await?;
    parse(session, message)
}

fn keep(directory: &Directory, update: &Update, console: &mut Console<'_>) -> Result<(), Failure> {
    let said = match directory.replace(&Files::of(update), clock::unix_nanos())? {
        Change::Written => "written to",
        Change::Same => "already in",
    };
    console.note(&format!("{} is {said} {}", update.first.id, directory.path().display()));
    Ok(())
}
