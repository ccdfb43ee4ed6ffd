//! `cargo xtask bench`: measures on the running kernel, prints a table or JSON, asserts nothing about time.

mod crowd;
mod datapath;
mod device;
mod evidence;
mod figure;
mod ground;
mod identity;
mod peer;
mod sample;
mod site;
mod suite;
mod table;
mod tunnel;
mod uplink;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use enforcer_lab::guard;
use enforcer_lab::spec::LabName;

use crate::datapath::Datapath;
use crate::device::Device;
use crate::evidence::Evidence;
use crate::identity::Identity;
use crate::peer::Peer;
use crate::tunnel::Tunnel;

/// Measure the walls. Without a suite: all of them.
#[derive(Parser)]
#[command(name = "bench")]
struct Bench {
    #[command(subcommand)]
    suite: Option<Suite>,
}

#[derive(Subcommand)]
enum Suite {
    /// Packets, streams, connections, pushes.
    Datapath(Datapath),
    /// Devices: opens, what is done with open ones, who holds them, taking them away.
    Device(Device),
    /// Certificates: issuing, serving, rotating, revoking.
    Identity(Identity),
    /// Flows over mutual TLS, beside HAProxy and Envoy.
    Tunnel(Tunnel),
    /// Records: how many, at what cost, and how fast they are found.
    Evidence(Evidence),
    /// One end of a measurement, which the bench starts by itself.
    #[command(hide = true, subcommand)]
    Peer(Peer),
}

fn main() -> Result<ExitCode> {
    match Bench::parse().suite {
        Some(Suite::Peer(peer)) => peer.run().map(|()| ExitCode::SUCCESS),
        Some(Suite::Datapath(datapath)) => measure(&datapath::labs()?, || datapath.run()),
        Some(Suite::Device(device)) => measure(&device::labs(), || device.run()),
        Some(Suite::Identity(identity)) => measure(&identity::labs()?, || identity.run()),
        Some(Suite::Tunnel(tunnel)) => measure(&tunnel::labs()?, || tunnel.run()),
        Some(Suite::Evidence(evidence)) => measure(&evidence::labs()?, || evidence.run()),
        None => measure(
            &[datapath::labs()?, identity::labs()?, tunnel::labs()?, evidence::labs()?].concat(),
            || {
                Datapath::default().run()?;
                Device::default().run()?;
                Identity::default().run()?;
                Tunnel::default().run()?;
                Evidence::default().run()
            },
        ),
    }
}

/// In a child, so that whatever ends it, its parent takes away what it made.
fn measure(labs: &[LabName], run: impl FnOnce() -> Result<()>) -> Result<ExitCode> {
    if !guard::is_child() {
        ground::clear().context("what an earlier bench left behind")?;
    }
    let code = guard::guarded(labs, || match run() {
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
