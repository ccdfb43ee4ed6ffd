//! A long-lived connection on which both sides speak at once. Each says every 50 ms how far it came, so that a
//! test sees which direction still flows, and whether anything was lost on the way.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_lab::probe::Progress;

use crate::close;
use crate::size::socklen;

const TICK: Duration = Duration::from_millis(5);
const TICKS_PER_REPORT: u64 = 10;
const TICK_BYTES: usize = 8;

/// Says `ready`, accepts one connection and talks on it.
pub(crate) fn listen(port: u16) -> Result<()> {
    let listener =
        TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).with_context(|| format!("port {port}"))?;
    println!("ready");
    let (stream, _) = listener.accept()?;
    converse(&stream)
}

/// Connects and talks.
pub(crate) fn talk(to: SocketAddr) -> Result<()> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5)).with_context(|| format!("{to}"))?;
    println!("ready");
    converse(&stream)
}

fn converse(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    close::abruptly(stream)?;
    let received = AtomicU64::new(0);
    let (sent, broken) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_ticks(stream, &received));
        let (sent, wrote) = write_ticks(stream, &received, || reader.is_finished());
        let read = if reader.is_finished() {
            reader.join().unwrap_or_else(|_| "the reader panicked".to_owned())
        } else {
            let _closed = stream.shutdown(std::net::Shutdown::Both);
            String::new()
        };
        (sent, format!("{wrote}{read}"))
    });
    report(stream, sent, received.load(Ordering::Relaxed), Some(broken))
}

/// Until writing fails or reading has; says how far it came, and why it stopped if that was its own doing.
fn write_ticks(stream: &TcpStream, received: &AtomicU64, stopped: impl Fn() -> bool) -> (u64, String) {
    let mut sent: u64 = 0;
    while !stopped() {
        if let Err(error) = (&*stream).write_all(&sent.to_be_bytes()) {
            return (sent, format!("writing: {error}"));
        }
        sent += 1;
        if sent.is_multiple_of(TICKS_PER_REPORT)
            && let Err(error) = report(stream, sent, received.load(Ordering::Relaxed), None)
        {
            return (sent, format!("reporting: {error}"));
        }
        std::thread::sleep(TICK);
    }
    (sent, String::new())
}

/// Until reading fails, ends, or a tick is out of order; says why.
fn read_ticks(mut stream: &TcpStream, received: &AtomicU64) -> String {
    let mut expected: u64 = 0;
    let mut tick = [0; TICK_BYTES];
    loop {
        match stream.read_exact(&mut tick) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return "the other side closed".to_owned();
            }
            Err(error) => return format!("reading: {error}"),
            Ok(()) if u64::from_be_bytes(tick) != expected => return format!("tick {expected} is missing"),
            Ok(()) => {}
        }
        expected += 1;
        received.store(expected, Ordering::Relaxed);
    }
}

fn report(stream: &TcpStream, sent: u64, received: u64, broken: Option<String>) -> Result<()> {
    let progress = Progress { sent, received, retransmits: retransmits(stream), broken };
    println!("{}", serde_json::to_string(&progress)?);
    Ok(())
}

/// Segments that had to be sent again: each one stands for a packet that was lost.
fn retransmits(stream: &TcpStream) -> u32 {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = socklen(&info);
    // SAFETY: the kernel writes at most `length` bytes into `info`, which is that long and zeroed; every bit
    // pattern is a value of the type.
    unsafe {
        let fd = stream.as_raw_fd();
        libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info.as_mut_ptr().cast(), &raw mut length);
        info.assume_init().tcpi_total_retrans
    }
}
