//! Streams and connections.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::end::READY;

const CHUNK_BYTES: usize = 128 << 10;
/// A dial that gets no answer is a wall where none should be.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a sender found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// Bytes that arrived.
    pub(crate) bytes: f64,
    /// From the first write to the receiver's answer.
    pub(crate) seconds: f64,
    /// Processor time of both ends, in user and kernel mode.
    pub(crate) cpu_seconds: f64,
}

/// What a dialler found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Connections {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
}

/// What the receiver answers at the end of a stream.
#[derive(Debug, Serialize, Deserialize)]
struct Received {
    bytes: f64,
    cpu_seconds: f64,
}

pub(super) fn sink(at: SocketAddr) -> Result<()> {
    let listener = listen(at)?;
    loop {
        let (mut stream, _) = listener.accept()?;
        // A sender that gave up is the sender's to report.
        let _given_up = receive(&mut stream);
    }
}

fn receive(stream: &mut TcpStream) -> Result<()> {
    let before = cpu_seconds()?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0_u64;
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            read => bytes += u64::try_from(read)?,
        }
    }
    let received = Received { bytes: as_f64(bytes), cpu_seconds: cpu_seconds()? - before };
    stream.write_all(serde_json::to_string(&received)?.as_bytes())?;
    Ok(())
}

pub(super) fn hang_up(at: SocketAddr) -> Result<()> {
    let listener = listen(at)?;
    loop {
        drop(listener.accept()?);
    }
}

pub(super) fn stream(to: SocketAddr, span: Duration) -> Result<Stream> {
    let buffer = vec![0x5a; CHUNK_BYTES];
    let mut stream = dial(to)?;
    let before = cpu_seconds()?;
    let start = Instant::now();
    while start.elapsed() < span {
        stream.write_all(&buffer)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let seconds = start.elapsed().as_secs_f64();
    let received: Received = serde_json::from_str(&answer).context("the receiver's answer")?;
    let cpu_seconds = cpu_seconds()? - before + received.cpu_seconds;
    Ok(Stream { bytes: received.bytes, seconds, cpu_seconds })
}

/// The other end closes first and keeps what TCP remembers of a closed connection, so that the ports of this end
/// are free again.
pub(super) fn connect(to: SocketAddr, span: Duration) -> Result<Connections> {
    let start = Instant::now();
    let mut count = 0_u64;
    while start.elapsed() < span {
        let mut connection = dial(to)?;
        let mut nothing = [0; 1];
        let _closed = connection.read(&mut nothing)?;
        count += 1;
    }
    Ok(Connections { count: as_f64(count), seconds: start.elapsed().as_secs_f64() })
}

fn listen(at: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(at).with_context(|| at.to_string())?;
    println!("{READY}");
    std::io::stdout().flush()?;
    Ok(listener)
}

fn dial(to: SocketAddr) -> Result<TcpStream> {
    TcpStream::connect_timeout(&to, PATIENCE).with_context(|| to.to_string())
}

fn cpu_seconds() -> Result<f64> {
    Ok(Duration::from(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?).as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
