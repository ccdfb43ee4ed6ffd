//! Both ends of one connection between two workloads, in this process's hands.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::socket::{setsockopt, sockopt};

use crate::site::{PORT, Site, accept};

/// Both ends.
pub(crate) struct Pair {
    pub(crate) client: TcpStream,
    pub(crate) server: TcpStream,
    /// Where the server thinks that it comes from.
    pub(crate) seen: SocketAddr,
    /// Where the client wanted to go.
    pub(crate) wanted: SocketAddr,
}

impl Pair {
    /// Dials, and waits for what arrives.
    pub(crate) fn connect(
        site: &Site,
        from: &str,
        to: &str,
        v6: bool,
        listener: &TcpListener,
    ) -> Result<Self> {
        let wanted = site.at(to, v6, PORT)?;
        let client = site.dial(from, wanted)?.with_context(|| site.last_words(from, to))?;
        let (server, seen) = accept(listener).with_context(|| site.last_words(from, to))?;
        Ok(Self { client, server, seen, wanted })
    }

    /// A few bytes in either direction.
    pub(crate) fn speaks(&mut self) -> Result<()> {
        says(&mut self.client, &mut self.server, b"ping, through whatever is between").context("forward")?;
        says(&mut self.server, &mut self.client, b"pong, through whatever is between").context("back")
    }

    /// Many bytes in both directions at once, compared on the other side.
    pub(crate) fn carries(&self, bytes: usize) -> Result<()> {
        thread::scope(|scope| {
            let halves = [
                scope.spawn(|| pour(&self.client, bytes, 7)),
                scope.spawn(|| pour(&self.server, bytes, 11)),
                scope.spawn(|| drain(&self.server, bytes, 7)),
                scope.spawn(|| drain(&self.client, bytes, 11)),
            ];
            halves.into_iter().try_for_each(|half| half.join().map_err(|_| anyhow!("a half panicked"))?)
        })
    }

    /// Both sides end in good order, one after the other.
    pub(crate) fn ends(mut self) -> Result<()> {
        self.client.shutdown(Shutdown::Write)?;
        ends(&mut self.server).context("forward")?;
        self.server.shutdown(Shutdown::Write)?;
        ends(&mut self.client).context("back")
    }
}

/// What one says is what the other hears.
pub(crate) fn says(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    from.write_all(bytes)?;
    let mut heard = vec![0; bytes.len()];
    to.read_exact(&mut heard)?;
    ensure!(heard == bytes, "{:?} became {:?}", bytes, heard);
    Ok(())
}

/// The other side has ended, in good order.
pub(crate) fn ends(stream: &mut TcpStream) -> Result<()> {
    match stream.read(&mut [0; 16]) {
        Ok(0) => Ok(()),
        Ok(_) => bail!("it goes on"),
        Err(error) => Err(error).context("not in good order"),
    }
}

/// The other side has broken the connection off.
pub(crate) fn is_reset(stream: &mut TcpStream) -> Result<()> {
    match stream.read(&mut [0; 16]) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Ok(0) => bail!("it ended in good order"),
        Ok(_) => bail!("it goes on"),
        Err(error) => Err(error).context("it is not a reset"),
    }
}

/// Breaks a connection off.
pub(crate) fn reset(stream: TcpStream) -> Result<()> {
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    drop(stream);
    Ok(())
}

/// A run of bytes that no other seed has.
fn pattern(offset: usize, length: usize, seed: usize) -> Vec<u8> {
    (offset..offset + length).map(|index| ((index * seed + index / 251) % 251).to_le_bytes()[0]).collect()
}

const CHUNK: usize = 64 << 10;

fn pour(mut to: &TcpStream, bytes: usize, seed: usize) -> Result<()> {
    let mut offset = 0;
    while offset < bytes {
        let length = CHUNK.min(bytes - offset);
        to.write_all(&pattern(offset, length, seed)).with_context(|| format!("after {offset} bytes"))?;
        offset += length;
    }
    Ok(())
}

fn drain(mut from: &TcpStream, bytes: usize, seed: usize) -> Result<()> {
    let mut offset = 0;
    let mut buffer = vec![0; CHUNK];
    while offset < bytes {
        let length = CHUNK.min(bytes - offset);
        let room = buffer.get_mut(..length).context("room")?;
        from.read_exact(room).with_context(|| format!("after {offset} bytes"))?;
        ensure!(*room == *pattern(offset, length, seed), "bytes {offset} to {} differ", offset + length);
        offset += length;
    }
    Ok(())
}
