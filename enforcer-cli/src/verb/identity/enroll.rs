//! `identity enroll`: a first certificate for a node that uses this one as its authority.

use std::path::{Path, PathBuf};

use clap::Args;
use enforcer_proto::v1;

use crate::cli::Global;
use crate::clock;
use crate::console::Console;
use crate::enroll::node_svid::NodeSvid;
use crate::enroll::place::{AUTHORITIES, CERTIFICATE, KEY, Place};
use crate::enroll::request::Request;
use crate::failure::Failure;
use crate::session::Session;
use crate::verb::open;
use crate::view::identity::enrolled::EnrolledView;

/// Give a node its first certificate, so that it can use this agent as its authority.
#[derive(Args, Debug)]
#[command(
    long_about = "Makes a key here, has the agent certify that it is the node's, and writes svid.pem (the chain), \
                  svid_key.pem and bundle.pem (who vouches for the authority) into a directory, to be carried to the \
                  node. What the node's agent.yaml has to say then is printed. The node renews the certificate by \
                  itself. Ask the agent that is the fleet's authority: another one is refused by it.",
    after_help = "Examples:\n  enforcerctl identity enroll gpu-17 --write /root/gpu-17\n  \
                  enforcerctl --address https://authority.fleet.example:7443 --cert c.pem --key k.pem --ca ca.pem \
                  identity enroll gpu-17 --write /etc/enforcer/node"
)]
pub(super) struct Enroll {
    /// Name of the node, as policies have it.
    node: String,

    /// Directory to write them to; made when it is not there, and nobody else may be able to write to it.
    #[arg(long, value_name = "DIR")]
    write: PathBuf,
}

impl Enroll {
    /// Makes a key, asks, writes, and prints what the node has to be told.
    pub(super) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let directory = std::path::absolute(&self.write);
        let directory = directory.map_err(|error| Failure::Usage(format!("--write: {error}")))?;
        let place = Place::open(&directory)?;
        let session = open(global).await?;
        let svid = self.ask(&session).await?;
        place.write(&svid)?;
        note(&svid, &directory, console);
        console.show(&EnrolledView::new(&svid, &directory, global.address.as_deref()))
    }

    async fn ask(&self, session: &Session) -> Result<NodeSvid, Failure> {
        let Request { key, csr } = Request::generate().map_err(|error| Failure::NoKey(error.to_string()))?;
        let request = v1::EnrollNodeRequest { node: self.node.clone(), csr };
        let answer = session.answer(session.identity().enroll_node(request)).await?;
        NodeSvid::parse(answer, &self.node, key, &clock::now()).map_err(|unusable| session.unusable(unusable))
    }
}

fn note(svid: &NodeSvid, directory: &Path, console: &mut Console<'_>) {
    let files = [CERTIFICATE, KEY, AUTHORITIES].join(", ");
    console.note(&format!("{} is written to {}: {files}", svid.id, directory.display()));
}
