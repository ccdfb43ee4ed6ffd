//! Bytes between a local socket and a stream, both ways, each way's end carried as it is.

mod back;
mod forward;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use h2::Reason;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Carried;

/// How long a local socket may take what was already sent to it, when the peer wants nothing more.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of one flow, read while it lives.
#[derive(Debug, Default)]
pub struct Moved {
    forward: AtomicU64,
    back: AtomicU64,
}

impl Moved {
    /// From the local socket to the stream.
    #[must_use]
    pub fn forward(&self) -> u64 {
        self.forward.load(Ordering::Relaxed)
    }

    /// From the stream to the local socket.
    #[must_use]
    pub fn back(&self) -> u64 {
        self.back.load(Ordering::Relaxed)
    }
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both ways with FIN.
    Clean,
    /// The local socket failed; the peer was told with CONNECT_ERROR (RFC 9113, section 8.5).
    Local(io::ErrorKind),
    /// The peer reset the stream with this code; the local socket was reset.
    Peer(Reason),
    /// The connection was lost; the local socket was reset.
    Connection,
    /// One way had ended, and nothing flowed the other way any more; both were reset.
    HalfClosed,
    /// It was cut by us; both were reset.
    Cut,
}

/// Carries one flow to its end. It is cut once `stop` is ready.
pub async fn relay(
    local: TcpStream,
    carried: Carried,
    moved: &Moved,
    half_close: Duration,
    stop: impl Future<Output = ()>,
) -> End {
    let Carried { mut send, mut recv, purse, peer: _, _base, _lease } = carried;
    // A failure of this option costs speed and nothing else.
    let _ = local.set_nodelay(true);
    let mut ways = Ways::default();
    let end = {
        let forward = forward::forward(&local, &mut send, &purse, &moved.forward);
        let back = back::back(&local, &mut recv, &moved.back);
        run(&local, &mut ways, moved, half_close, (forward, back, stop)).await
    };
    if end == End::Clean {
        return end;
    }
    // Reset before: h2 ignores it.
    send.send_reset(Reason::CONNECT_ERROR);
    if ways.back && matches!(end, End::Peer(Reason::NO_ERROR | Reason::CANCEL)) {
        linger(&local).await;
    }
    // Dropped without a FIN, behind which a truncated file would look complete.
    let _ = local.set_zero_linger();
    end
}

/// Which ways have ended.
#[derive(Default)]
struct Ways {
    forward: bool,
    back: bool,
}

async fn run(
    local: &TcpStream,
    ways: &mut Ways,
    moved: &Moved,
    half_close: Duration,
    (forward, back, stop): (
        impl Future<Output = Result<(), End>>,
        impl Future<Output = Result<(), End>>,
        impl Future<Output = ()>,
    ),
) -> End {
    let (mut forward, mut back, mut stop) = (pin!(forward), pin!(back), pin!(stop));
    let mut failed = pin!(failed(local));
    let mut quiet = pin!(sleep(half_close));
    let mut seen = 0;
    while !(ways.forward && ways.back) {
        let ended = tokio::select! {
            biased;
            () = &mut stop => return End::Cut,
            kind = &mut failed => return End::Local(kind),
            ended = &mut back, if !ways.back => { ways.back = ended.is_ok(); ended }
            ended = &mut forward, if !ways.forward => { ways.forward = ended.is_ok(); ended }
            () = &mut quiet, if ways.forward || ways.back => {
                let now = moved.forward().wrapping_add(moved.back());
                if now == seen { Err(End::HalfClosed) } else { seen = now; Ok(()) }
            }
        };
        if let Err(end) = ended {
            return end;
        }
        quiet.as_mut().reset(Instant::now() + half_close);
    }
    End::Clean
}

/// Once the local socket has failed, whether or not somebody reads from it just then.
async fn failed(local: &TcpStream) -> io::ErrorKind {
    let ready = local.ready(Interest::ERROR).await;
    let error = ready.and_then(|_| local.take_error());
    match error {
        Ok(Some(error)) | Err(error) => error.kind(),
        Ok(None) => io::ErrorKind::ConnectionReset,
    }
}

/// Whoever closes a socket that has unread bytes destroys what it has not sent yet. The peer has sent everything, and
/// wants nothing more: the local end gets a moment to take it.
async fn linger(local: &TcpStream) {
    let mut ignored = [0; 4096];
    let until_end = async {
        while local.readable().await.is_ok() {
            match local.try_read(&mut ignored) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    };
    let _ = timeout(LINGER, until_end).await;
}

/// What an error of a stream means to the flow.
fn end_of(error: &h2::Error) -> End {
    match error.reason() {
        Some(reason) if error.is_reset() => End::Peer(reason),
        _ => End::Connection,
    }
}
