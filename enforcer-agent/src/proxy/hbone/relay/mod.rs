//! Bytes between a local socket and a stream, both ways, each way's end carried as it is.

mod back;
mod forward;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use h2::Reason;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::Carried;
use crate::proxy::native::Traffic;

/// How long a local socket may take what was already sent to it, when the peer wants nothing more.
const LINGER: Duration = Duration::from_secs(2);

/// How a flow ended. The workload's socket is to be dropped after anything: it is made to reset the workload where that
/// is due.
#[derive(Debug)]
pub enum Ended<C> {
    /// Both ways, by FIN and END_STREAM.
    Clean,
    /// The workload here reset its connection, or is gone; the peer was told with CONNECT_ERROR (RFC 9113,
    /// section 8.5).
    LocalReset(io::Error),
    /// The peer reset the stream, with this code.
    PeerReset(Reason),
    /// The connection was lost.
    ConnectionLost,
    /// One way had ended, and nothing flowed the other way.
    HalfCloseTimeout,
    /// Whoever watches over the flow ended it.
    Cancelled(C),
}

/// How a flow ended by itself.
enum End {
    Clean,
    Local(io::Error),
    Peer(Reason),
    Connection,
    HalfClosed,
}

impl End {
    fn into_ended<C>(self) -> Ended<C> {
        match self {
            Self::Clean => Ended::Clean,
            Self::Local(error) => Ended::LocalReset(error),
            Self::Peer(reason) => Ended::PeerReset(reason),
            Self::Connection => Ended::ConnectionLost,
            Self::HalfClosed => Ended::HalfCloseTimeout,
        }
    }
}

/// Carries one flow between a workload's socket and a stream, until it ends or `cancel` says so.
pub async fn relay<C>(
    local: &TcpStream,
    carried: Carried,
    half_close: Duration,
    traffic: &Traffic,
    cancel: impl Future<Output = C>,
) -> Ended<C> {
    let Carried { mut send, mut recv, purse, peer: _, _base, _lease } = carried;
    // A failure of this option costs speed and nothing else.
    let _ = local.set_nodelay(true);
    traffic.accepted();
    let mut ways = Ways::default();
    let ended = {
        let forward = forward::forward(local, &mut send, &purse, traffic);
        let back = back::back(local, &mut recv, traffic);
        tokio::select! {
            biased;
            reason = cancel => Ended::Cancelled(reason),
            end = run(local, &mut ways, traffic, half_close, forward, back) => end.into_ended(),
        }
    };
    if matches!(ended, Ended::Clean) {
        return ended;
    }
    // Where the peer was first, nothing is sent.
    send.send_reset(Reason::CONNECT_ERROR);
    if ways.back && matches!(ended, Ended::PeerReset(Reason::NO_ERROR | Reason::CANCEL)) {
        linger(local).await;
    }
    // Dropped without a FIN, behind which a truncated file would look complete.
    let _ = local.set_zero_linger();
    ended
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
    traffic: &Traffic,
    half_close: Duration,
    forward: impl Future<Output = Result<(), End>>,
    back: impl Future<Output = Result<(), End>>,
) -> End {
    let (mut forward, mut back, mut failed) = (pin!(forward), pin!(back), pin!(failed(local)));
    let mut quiet = pin!(sleep(half_close));
    let mut seen = 0;
    while !(ways.forward && ways.back) {
        let ended = tokio::select! {
            biased;
            error = &mut failed => return End::Local(error),
            ended = &mut back, if !ways.back => { ways.back = ended.is_ok(); ended }
            ended = &mut forward, if !ways.forward => { ways.forward = ended.is_ok(); ended }
            () = &mut quiet, if ways.forward || ways.back => {
                let now = traffic.sent().wrapping_add(traffic.received());
                if now == std::mem::replace(&mut seen, now) { Err(End::HalfClosed) } else { Ok(()) }
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
async fn failed(local: &TcpStream) -> io::Error {
    match local.ready(Interest::ERROR).await.and_then(|_| local.take_error()) {
        Ok(Some(error)) | Err(error) => error,
        Ok(None) => io::ErrorKind::ConnectionReset.into(),
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
