//! Many connections at once: one server that does what the first byte of a connection says, and its clients.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use super::end::READY;
use crate::sample::Sample;

const CHUNK_BYTES: usize = 128 << 10;
/// Of a small request and of its answer.
const REQUEST_BYTES: usize = 64;
/// More than any bench has of connections that are not merely held.
const WORKERS: usize = 96;
const WORKER_STACK_BYTES: usize = 256 << 10;
/// A connection that gets nowhere for so long is a failure, and no measurement.
const PATIENCE: Duration = Duration::from_secs(20);

/// Read to the end, then say how many bytes that was.
const POUR: u8 = b'p';
/// Answer every request.
const ASK: u8 = b'a';
/// Answer one request and close.
const ONCE: u8 = b'o';
/// Say that it is held, and do nothing more.
const HOLD: u8 = b'h';

/// Streams that were poured out.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Poured {
    pub(crate) bytes: f64,
    pub(crate) seconds: f64,
}

/// Requests that were answered.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
}

/// Serves until killed.
pub(super) fn serve(at: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(at).with_context(|| at.to_string())?;
    // The default backlog is for people, not for five thousand connections at once.
    nix::sys::socket::listen(&listener, nix::sys::socket::Backlog::new(4096)?)?;
    say_ready()?;
    let held = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let builder = thread::Builder::new().stack_size(WORKER_STACK_BYTES);
            builder.spawn_scoped(scope, || {
                while let Ok((stream, _)) = listener.accept() {
                    // A client that gave up is the client's to report.
                    if let Ok(Some(stream)) = answer(stream) {
                        held.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                    }
                }
            })?;
        }
        Ok::<_, io::Error>(())
    })?;
    bail!("the listener broke")
}

/// Does what the first byte says; a connection that is to be held is handed back.
fn answer(mut stream: TcpStream) -> io::Result<Option<TcpStream>> {
    stream.set_nodelay(true)?;
    let mut wish = [0];
    stream.read_exact(&mut wish)?;
    match wish {
        [POUR] => {
            let bytes = drain(&mut stream)?;
            stream.write_all(&bytes.to_be_bytes())?;
        }
        [ASK] => while answer_one(&mut stream)? {},
        [ONCE] => {
            answer_one(&mut stream)?;
        }
        [HOLD] => {
            stream.write_all(&wish)?;
            return Ok(Some(stream));
        }
        _ => {}
    }
    Ok(None)
}

fn drain(stream: &mut TcpStream) -> io::Result<u64> {
    let (mut buffer, mut bytes) = (vec![0; CHUNK_BYTES], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => bytes += u64::try_from(read).unwrap_or_default(),
        }
    }
}

/// False when there is no further request.
fn answer_one(stream: &mut TcpStream) -> io::Result<bool> {
    let mut request = [0; REQUEST_BYTES];
    match stream.read_exact(&mut request) {
        Ok(()) => stream.write_all(&request).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn dial(to: SocketAddr, wish: u8) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).with_context(|| to.to_string())?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(&[wish])?;
    Ok(stream)
}

/// Pours out some streams at once.
pub(super) fn pour(to: SocketAddr, streams: usize, span: Duration) -> Result<Poured> {
    let start_line = Barrier::new(streams + 1);
    thread::scope(|scope| {
        let pouring: Vec<_> = (0..streams).map(|_| scope.spawn(|| pour_one(to, span, &start_line))).collect();
        start_line.wait();
        let start = Instant::now();
        let mut bytes = 0_u64;
        for one in pouring {
            bytes += one.join().map_err(|_| anyhow!("a stream panicked"))??;
        }
        Ok(Poured { bytes: as_f64(bytes), seconds: start.elapsed().as_secs_f64() })
    })
}

/// The bytes that arrived at the other end.
fn pour_one(to: SocketAddr, span: Duration, start_line: &Barrier) -> Result<u64> {
    let dialled = dial(to, POUR);
    start_line.wait();
    let mut stream = dialled?;
    let buffer = vec![0x5a; CHUNK_BYTES];
    let start = Instant::now();
    while start.elapsed() < span {
        stream.write_all(&buffer).context("pouring")?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut arrived = [0; 8];
    stream.read_exact(&mut arrived).context("how much arrived")?;
    Ok(u64::from_be_bytes(arrived))
}

/// Asks on some connections at once.
pub(super) fn ask(to: SocketAddr, connections: usize, span: Duration) -> Result<Asked> {
    let start_line = Barrier::new(connections);
    thread::scope(|scope| {
        let asking: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| ask_one(to, span, &start_line))).collect();
        gather(asking.into_iter().map(|one| one.join().map_err(|_| anyhow!("an asker panicked"))?))
    })
}

fn ask_one(to: SocketAddr, span: Duration, start_line: &Barrier) -> Result<(Vec<f64>, f64)> {
    let dialled = dial(to, ASK);
    start_line.wait();
    let mut stream = dialled?;
    let mut request = [0x5a; REQUEST_BYTES];
    let mut micros = Vec::new();
    let start = Instant::now();
    while start.elapsed() < span {
        let asked = Instant::now();
        stream.write_all(&request).context("asking")?;
        stream.read_exact(&mut request).context("the answer")?;
        micros.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    Ok((micros, start.elapsed().as_secs_f64()))
}

/// Asks on one connection while some streams are poured out.
pub(super) fn ask_beside(to: SocketAddr, streams: usize, span: Duration) -> Result<Asked> {
    let start_line = Barrier::new(streams + 1);
    thread::scope(|scope| {
        let pouring: Vec<_> = (0..streams).map(|_| scope.spawn(|| pour_one(to, span, &start_line))).collect();
        let asked = ask_one(to, span, &start_line);
        for one in pouring {
            one.join().map_err(|_| anyhow!("a stream panicked"))??;
        }
        gather([asked].into_iter())
    })
}

/// Connects, asks once, reads the answer and the end, closes, again and again.
pub(super) fn ask_once(to: SocketAddr, threads: usize, span: Duration) -> Result<Asked> {
    thread::scope(|scope| {
        let dialling: Vec<_> = (0..threads).map(|_| scope.spawn(|| ask_once_each(to, span))).collect();
        gather(dialling.into_iter().map(|one| one.join().map_err(|_| anyhow!("a dialler panicked"))?))
    })
}

fn ask_once_each(to: SocketAddr, span: Duration) -> Result<(Vec<f64>, f64)> {
    let mut micros = Vec::new();
    let start = Instant::now();
    while start.elapsed() < span {
        let began = Instant::now();
        let mut stream = dial(to, ONCE)?;
        stream.write_all(&[0x5a; REQUEST_BYTES])?;
        let mut answer = Vec::with_capacity(REQUEST_BYTES);
        // The other end closes first and keeps what TCP remembers of a closed connection, so that the ports of
        // this end are free again.
        stream.read_to_end(&mut answer).context("the answer and the end")?;
        ensure!(answer.len() == REQUEST_BYTES, "{} bytes came back", answer.len());
        micros.push(began.elapsed().as_secs_f64() * 1e6);
    }
    Ok((micros, start.elapsed().as_secs_f64()))
}

fn gather(each: impl Iterator<Item = Result<(Vec<f64>, f64)>>) -> Result<Asked> {
    let (mut all, mut longest) = (Vec::new(), 0.0_f64);
    for one in each {
        let (micros, seconds) = one?;
        all.extend(micros);
        longest = longest.max(seconds);
    }
    ensure!(!all.is_empty(), "nothing was answered");
    let count = as_f64(u64::try_from(all.len())?);
    let sample = Sample::from(all);
    Ok(Asked { count, seconds: longest, p50_micros: sample.median(), p99_micros: sample.percentile(99.0) })
}

/// Holds connections until killed.
pub(super) fn hold(to: SocketAddr, count: usize) -> Result<()> {
    let mut held = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = dial(to, HOLD)?;
        let mut echo = [0];
        stream.read_exact(&mut echo).with_context(|| format!("connection {number}"))?;
        held.push(stream);
    }
    say_ready()?;
    loop {
        thread::park();
    }
}

fn say_ready() -> Result<()> {
    println!("{READY}");
    Ok(io::stdout().flush()?)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn as_f64(count: u64) -> f64 {
    count as f64
}
