//! One end of a measurement: this very program, started again inside a workload. It prints one line of JSON.

mod device;
mod end;
mod socket;
mod svid;
mod traffic;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;

use device::Use;
pub(crate) use device::{Each, Trying};
pub(crate) use end::{Serving, ask};
pub(crate) use socket::{Connections, Stream};
pub(crate) use svid::{Firsts, Watching, monotonic};
pub(crate) use traffic::{Asked, Poured};

/// What a peer does.
#[derive(Subcommand)]
pub(crate) enum Peer {
    /// Read streams to their end, and answer with how much that was.
    Sink { at: SocketAddr },
    /// Accept connections and close them.
    Hangup { at: SocketAddr },
    /// Send for a while.
    Stream { to: SocketAddr, millis: u64 },
    /// Connect, wait for the other end to close, close, again and again.
    Connect { to: SocketAddr, millis: u64 },
    /// Do for each connection what its first byte says.
    Traffic { at: SocketAddr },
    /// Pour out streams for a while.
    Pour { to: SocketAddr, streams: usize, millis: u64 },
    /// Ask on some connections for a while.
    Ask { to: SocketAddr, connections: usize, millis: u64 },
    /// Ask on one connection beside some streams.
    AskBeside { to: SocketAddr, streams: usize, millis: u64 },
    /// Connect, ask once, close, again and again.
    AskOnce { to: SocketAddr, threads: usize, millis: u64 },
    /// Hold idle connections.
    HoldIdle { to: SocketAddr, count: usize },
    /// Open a device and close it, again and again.
    Open { path: PathBuf, batches: usize, batch: u32 },
    /// Use a device that is open, again and again.
    Use { what: Use, path: PathBuf, batches: usize, batch: u32 },
    /// Open a device until that is refused.
    UntilRefused { path: PathBuf },
    /// Many processes, some of which hold a device.
    Crowd { path: PathBuf, processes: usize, holders: usize },
    /// Connect to the Workload API and take the first SVID, again and again.
    First { socket: PathBuf, count: usize },
    /// Hold streams of the Workload API, a number of them on each connection.
    Hold { socket: PathBuf, connections: usize, streams: usize },
    /// Watch the Workload API, say when a stream is served and when it ends, and begin again.
    Watch { socket: PathBuf },
}

impl Peer {
    pub(crate) fn run(&self) -> Result<()> {
        match self {
            Self::Sink { at } => socket::sink(*at),
            Self::Hangup { at } => socket::hang_up(*at),
            Self::Stream { to, millis } => print(&socket::stream(*to, Duration::from_millis(*millis))?),
            Self::Connect { to, millis } => print(&socket::connect(*to, Duration::from_millis(*millis))?),
            Self::Traffic { at } => traffic::serve(*at),
            Self::Pour { to, streams, millis } => {
                print(&traffic::pour(*to, *streams, Duration::from_millis(*millis))?)
            }
            Self::Ask { to, connections, millis } => {
                print(&traffic::ask(*to, *connections, Duration::from_millis(*millis))?)
            }
            Self::AskBeside { to, streams, millis } => {
                print(&traffic::ask_beside(*to, *streams, Duration::from_millis(*millis))?)
            }
            Self::AskOnce { to, threads, millis } => {
                print(&traffic::ask_once(*to, *threads, Duration::from_millis(*millis))?)
            }
            Self::HoldIdle { to, count } => traffic::hold(*to, *count),
            Self::Open { path, batches, batch } => print(&device::open(path, *batches, *batch)?),
            Self::Use { what, path, batches, batch } => print(&device::held(*what, path, *batches, *batch)?),
            Self::UntilRefused { path } => device::until_refused(path),
            Self::Crowd { path, processes, holders } => device::crowd(path, *processes, *holders),
            Self::First { socket, count } => print(&svid::first(socket, *count)?),
            Self::Hold { socket, connections, streams } => svid::hold(socket, *connections, *streams),
            Self::Watch { socket } => svid::watch(socket),
        }
    }
}

fn print(said: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(said)?);
    Ok(())
}
