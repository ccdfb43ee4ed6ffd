//! The client side of these tests: this very program, started inside a workload. It must not know what a test
//! expects; it says what it was told, a JSON value a line.

mod crowd;
mod handed;
mod library;
mod moved;
mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

/// The first word of a command line that means a client.
pub(crate) const WORD: &str = "client";
/// Where the Workload API is (SPIFFE Workload Endpoint, section 4), as every client finds it.
pub(crate) const ENDPOINT: &str = "SPIFFE_ENDPOINT_SOCKET";

/// Something that a client was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "camelCase")]
pub(crate) enum Said {
    /// An X.509-SVID with everything that comes with it.
    #[serde(rename_all = "camelCase")]
    Svid {
        id: String,
        serial: String,
        /// Since the Unix epoch, in seconds.
        not_before: i64,
        not_after: i64,
        /// Certificates in the chain.
        chain: usize,
        /// Authorities by trust domain.
        bundles: BTreeMap<String, usize>,
    },
    /// The call or the stream ended, with this gRPC code.
    Refused { code: String, message: String },
    /// A JWT-SVID.
    #[serde(rename_all = "camelCase")]
    Token { token: String, id: String, audience: Vec<String>, key_id: String },
    /// Everything that was to be opened is open.
    Ready { count: usize },
    /// An HTTP response.
    Answer { status: u16, body: String },
}

#[derive(Parser)]
struct Client {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// One X.509 context, by way of the `spiffe` crate.
    Fetch,
    /// X.509 contexts until the stream ends, by way of the `spiffe` crate.
    Watch,
    /// A JWT-SVID, by way of the `spiffe` crate.
    Jwt { audience: String },
    /// Whether a JWT-SVID is valid, by way of the `spiffe` crate.
    Validate { audience: String, token: String },
    /// A call without the security header.
    Headless,
    /// Many streams that nobody reads, until killed.
    Crowd { streams: usize },
    /// Watch, move to another control group (its directory) when a line comes in, ask again on the same
    /// connection and on a new one, and go on watching.
    Move { cgroup: PathBuf },
    /// Connect, then have a child in another control group (its directory) use the connection.
    HandOver {
        cgroup: PathBuf,
        /// End before the child speaks.
        #[arg(long)]
        orphan: bool,
    },
    /// The child of `hand-over`.
    #[command(hide = true)]
    Speak {
        descriptor: i32,
        #[arg(long)]
        orphan_of: Option<i32>,
    },
    /// GET over plain HTTP.
    Get { to: SocketAddr, path: String },
}

/// Does what the command line says.
pub(crate) fn run() -> Result<()> {
    let client = Client::parse_from(std::env::args().skip(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match client.verb {
            Verb::Fetch => library::fetch().await,
            Verb::Watch => library::watch().await,
            Verb::Jwt { audience } => library::jwt(&audience).await,
            Verb::Validate { audience, token } => library::validate(&audience, &token).await,
            Verb::Headless => library::headless(&socket()?).await,
            Verb::Crowd { streams } => crowd::hold(&socket()?, streams).await,
            Verb::Move { cgroup } => moved::wander(&socket()?, &cgroup).await,
            Verb::HandOver { cgroup, orphan } => handed::over(&socket()?, &cgroup, orphan),
            Verb::Speak { descriptor, orphan_of } => handed::speak(descriptor, orphan_of).await,
            Verb::Get { to, path } => web::get(to, &path),
        }
    })
}

fn socket() -> Result<PathBuf> {
    let endpoint = std::env::var(ENDPOINT).context(ENDPOINT)?;
    endpoint.strip_prefix("unix://").map(PathBuf::from).with_context(|| endpoint.clone())
}

fn say(said: &Said) -> Result<()> {
    println!("{}", serde_json::to_string(said)?);
    Ok(())
}
