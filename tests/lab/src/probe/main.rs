//! `enforcer-probe`: one small traffic and device tool for the lab, so that no test depends on whose `nc` or
//! `ping` is installed. Every verb prints one JSON line per result, in the words of [`enforcer_lab::outcome`].

mod attack;
mod close;
mod device;
mod dial;
mod echo;
mod flood;
mod frame;
mod gpu;
mod hand;
mod hold;
mod hooks;
mod serve;
mod size;
mod talk;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde::Serialize;

#[derive(Parser)]
#[command(about = "Traffic and device tool of the lab")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Echo TCP and UDP on these ports until killed.
    Serve { ports: Vec<u16> },
    /// Connect, send, compare what comes back.
    Tcp {
        to: SocketAddr,
        #[arg(long, default_value_t = 1000)]
        timeout_ms: u64,
        #[arg(long, default_value_t = 32)]
        bytes: usize,
    },
    /// Send one datagram, compare what comes back.
    Udp {
        to: SocketAddr,
        #[arg(long, default_value_t = 1000)]
        timeout_ms: u64,
        #[arg(long, default_value_t = 32)]
        bytes: usize,
        /// Let the kernel refuse what does not fit the path whole.
        #[arg(long)]
        dont_fragment: bool,
    },
    /// ICMP or ICMPv6 echo.
    Echo {
        to: IpAddr,
        #[arg(long, default_value_t = 1000)]
        timeout_ms: u64,
    },
    /// Accept one connection and talk on it, both ways at once, until killed.
    Listen { port: u16 },
    /// Connect and talk, both ways at once, until killed.
    Talk { to: SocketAddr },
    /// Connect for whoever holds the other end of standard input, and hand the connection over.
    Hand {
        to: SocketAddr,
        #[arg(long)]
        from_port: Option<u16>,
        #[arg(long, default_value_t = 3000)]
        timeout_ms: u64,
    },
    /// Send raw Ethernet frames, in hexadecimal.
    Frame { interface: String, frames: Vec<String> },
    /// Send datagrams from one socket as fast as it goes, and say how many left.
    Flood {
        to: SocketAddr,
        #[arg(long, default_value_t = u64::MAX)]
        count: u64,
        #[arg(long, default_value_t = 10_000)]
        limit_ms: u64,
    },
    /// Open a device and close it again.
    Open { path: PathBuf },
    /// One process: connect, then open a device. A line for each.
    Intrude {
        to: SocketAddr,
        path: PathBuf,
        #[arg(long, default_value_t = 1000)]
        timeout_ms: u64,
    },
    /// Make a character device node.
    Mknod { path: PathBuf, major: u64, minor: u64 },
    /// Move to another control group (its directory), then open a device.
    Wander { cgroup: PathBuf, path: PathBuf },
    /// Move to another control group (its directory) and stay until standard input ends.
    Enter { cgroup: PathBuf },
    /// Attack a device of another tenant's, by a word of `attacks`.
    Attack {
        word: String,
        #[command(flatten)]
        stage: attack::stage::Stage,
    },
    /// The words of all attacks.
    Attacks,
    /// Read from a descriptor that this process was started with.
    #[command(hide = true)]
    Use { descriptor: RawFd },
    /// Open a device, and use it when told, a word a line: open, read, write, ioctl, map, look, register, fetch, close.
    Hold { path: PathBuf },
    /// Try whether this kernel lets programs run at its security hooks.
    Hooks,
    /// Be a device with memory, until killed.
    Gpu(gpu::Gpu),
}

fn main() -> Result<()> {
    match Cli::parse().verb {
        Verb::Serve { ports } => serve::serve(&ports),
        Verb::Tcp { to, timeout_ms, bytes } => say(&dial::tcp(to, timeout_ms, bytes)),
        Verb::Udp { to, timeout_ms, bytes, dont_fragment } => {
            say(&dial::udp(to, timeout_ms, bytes, dont_fragment))
        }
        Verb::Echo { to, timeout_ms } => say(&echo::echo(to, timeout_ms)),
        Verb::Listen { port } => talk::listen(port),
        Verb::Talk { to } => talk::talk(to),
        Verb::Hand { to, from_port, timeout_ms } => hand::hand(to, from_port, timeout_ms),
        Verb::Frame { interface, frames } => say(&frame::send(&interface, &frames)?),
        Verb::Flood { to, count, limit_ms } => flood::flood(to, count, Duration::from_millis(limit_ms)),
        Verb::Open { path } => say(&device::open(&path)),
        Verb::Intrude { to, path, timeout_ms } => {
            say(&dial::tcp(to, timeout_ms, 1))?;
            say(&device::open(&path))
        }
        Verb::Mknod { path, major, minor } => say(&device::mknod(&path, major, minor)),
        Verb::Wander { cgroup, path } => say(&device::wander(&cgroup, &path)?),
        Verb::Enter { cgroup } => device::enter(&cgroup),
        Verb::Attack { word, stage } => say(&attack::run(&word, &stage)?),
        Verb::Attacks => {
            attack::list();
            Ok(())
        }
        Verb::Use { descriptor } => say(&attack::use_inherited(descriptor)),
        Verb::Hold { path } => hold::hold(&path),
        Verb::Hooks => say(&hooks::hooks()?),
        Verb::Gpu(gpu) => gpu::serve(&gpu),
    }
}

fn say(outcome: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(outcome)?);
    Ok(())
}
