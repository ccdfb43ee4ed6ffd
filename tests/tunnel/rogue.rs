//! Peers that are no agents of ours, in the network of a workload or of a node.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use crate::papers::Papers;
use crate::site::{Site, TUNNEL_PORT, accept_within};
use crate::tls::{Client, Refused, Try};

/// A client at a place, which dials a workload's end itself.
pub(crate) fn dial(site: &Site, from: &str, to: &str, how: Try<'_>) -> Result<Result<Client, Refused>> {
    let stream = site.dial(from, site.at(to, false, TUNNEL_PORT)?)?;
    how.client(stream.with_context(|| format!("{from} dials the end of {to}"))?)
}

/// The same, and the handshake must succeed.
pub(crate) fn secured(site: &Site, from: &str, to: &str, papers: &Papers, alpn: &[u8]) -> Result<Client> {
    let dialled = dial(site, from, to, Try::good(papers.clone(), &[alpn]))?;
    dialled.map_err(|refused| anyhow!("the handshake of {from} with {to} was refused: {refused:?}"))
}

/// A server in place of a workload's end, for one connection.
pub(crate) struct Imposter {
    thread: JoinHandle<Result<bool>>,
    stop: mpsc::Sender<()>,
}

impl Imposter {
    /// Listens where the agent would; nobody else may.
    pub(crate) fn start(site: &Site, at: &str, papers: Papers, alpn: &'static [u8]) -> Result<Self> {
        let listener = site.listen_at(at, SocketAddr::new(site.address(at, false)?, TUNNEL_PORT))?;
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                let Ok((stream, _)) = accept_within(&listener, Duration::from_millis(200)) else { continue };
                let Ok(mut secured) = Try::good(papers.clone(), &[alpn]).server(stream)? else {
                    return Ok(false);
                };
                // Whoever believes this server tells it now where it wants to go.
                let mut first = [0; 1];
                return Ok(std::io::Read::read(&mut secured, &mut first).is_ok_and(|length| length > 0));
            }
            Ok(false)
        });
        Ok(Self { thread, stop })
    }

    /// True when somebody told it anything.
    pub(crate) fn believed(self) -> Result<bool> {
        // It may have ended by itself.
        let _ended = self.stop.send(());
        self.thread.join().map_err(|_| anyhow!("the imposter panicked"))?
    }
}

/// After all that was tried, everybody else is unharmed, and the agent holds no more than it did.
pub(crate) fn is_unharmed(site: &Site, before_kib: u64) -> Result<()> {
    const MORE_KIB: u64 = 48 << 10;
    for way in &crate::site::WAYS {
        let mut pair = site.pair(way.from, way.to, false).with_context(|| format!("{way:?}, afterwards"))?;
        pair.speaks()?;
        pair.ends()?;
    }
    let now = site.resident_kib("n2")?;
    ensure!(now <= before_kib + MORE_KIB, "the agent held {before_kib} KiB, and holds {now} KiB");
    Ok(())
}

impl Imposter {
    /// True once somebody has spoken to it, or broken off.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}
