//! HAProxy in front of both workloads: plain TCP to it, TLS 1.3 with certificates of both ends between the two.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use enforcer_lab::enter::Place;

use super::mover::Proxy;
use super::papers::Papers;

/// The one that a client dials.
pub(super) fn client(place: &Place, papers: &Papers, at: SocketAddr, to: SocketAddr) -> Result<Proxy> {
    let tls = format!(
        "ssl verify required crt {} ca-file {} ssl-min-ver TLSv1.3",
        papers.file("client_both.pem"),
        papers.file("ca.pem")
    );
    start(place, papers, "client", &format!("    bind {at}\n    server peer {to} {tls}\n"))
}

/// The one that dials the server.
pub(super) fn server(place: &Place, papers: &Papers, at: SocketAddr, to: SocketAddr) -> Result<Proxy> {
    let tls = format!(
        "ssl verify required crt {} ca-file {} ssl-min-ver TLSv1.3",
        papers.file("server_both.pem"),
        papers.file("ca.pem")
    );
    start(place, papers, "server", &format!("    bind {at} {tls}\n    server app {to}\n"))
}

fn start(place: &Place, papers: &Papers, name: &str, listen: &str) -> Result<Proxy> {
    let threads = available_parallelism()?;
    // Twice as many descriptors, which few machines refuse: more than any bench holds.
    let text = format!(
        "global\n    nbthread {threads}\n    maxconn 8000\n\
         defaults\n    mode tcp\n    timeout connect 10s\n    timeout client 300s\n    timeout server 300s\n\
         listen carry\n    maxconn 8000\n{listen}"
    );
    let file = papers.dir().join(format!("haproxy-{name}.cfg"));
    fs::write(&file, text)?;
    let log_file = papers.path(&format!("haproxy-{name}.log"));
    let log = File::create(&log_file)?;
    // Programs of administrators are not on everybody's search path.
    let mut command = place.command(if fs::exists(SBIN)? { SBIN } else { "haproxy" })?;
    command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Proxy::start(&mut command, log_file)
        .context("install the package haproxy to compare with it: cargo xtask setup --bench")
}

const SBIN: &str = "/usr/sbin/haproxy";
