//! `cargo xtask bench`: measures on the running kernel, prints a table or JSON, asserts nothing about time.

mod crowd;
mod datapath;
mod figure;
mod ground;
mod peer;
mod sample;
mod site;
mod table;
mod uplink;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use enforcer_lab::guard;

use crate::datapath::Datapath;
use crate::peer::Peer;

/// Measure the walls. Without a suite: all of them.
#[derive(Parser)]
#[command(name = "bench")]
struct Bench {
    #[command(subcommand)]
    suite: Option<Suite>,
}

#[derive(Subcommand)]
enum Suite {
    /// Packets, streams, connections, device opens, pushes.
    Datapath(Datapath),
    /// One end of a measurement, which the bench starts by itself.
    #[command(hide = true, subcommand)]
    Peer(Peer),
}

fn main() -> Result<ExitCode> {
    match Bench::parse().suite {
        Some(Suite::Peer(peer)) => peer.run().map(|()| ExitCode::SUCCESS),
        Some(Suite::Datapath(datapath)) => measure(&datapath),
        None => measure(&Datapath::default()),
    }
}

/// In a child, so that whatever ends it, its parent takes away what it made.
fn measure(datapath: &Datapath) -> Result<ExitCode> {
    let labs = datapath::labs()?;
    if !guard::is_child() {
        ground::clear().context("what an earlier bench left behind")?;
    }
    let code = guard::guarded(&labs, || match datapath.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    })?;
    if !guard::is_child() {
        ground::clear().context("take away what the bench made")?;
    }
    Ok(code)
}
