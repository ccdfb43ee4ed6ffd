//! What stands around a flow: OPEN, and the answer to it.

use std::time::Duration;

use enforcer_core::proxy::native::{FrameHeader, HEADER_BYTES, Kind, OPEN_BYTES, Open, RefuseCode};
use tokio::time::timeout;

use super::ended::{Ended, FlowError};
use crate::proxy::tls::{Secured, TlsError};

/// What a client did next on its connection.
#[derive(Debug)]
pub enum Next {
    /// Asked for a flow.
    Open(Open),
    /// Said that there are no more.
    Closed,
    /// Nothing, for so long that the connection should be closed.
    Idle,
}

/// Asks for a flow. It is sent, and its answer awaited, by [`super::relay`].
pub fn open(secured: &mut Secured, open: &Open) {
    let mut frame = [0; HEADER_BYTES + OPEN_BYTES];
    frame[..HEADER_BYTES].copy_from_slice(&FrameHeader::OPEN.bytes());
    frame[HEADER_BYTES..].copy_from_slice(&open.bytes());
    secured.queue_data(&frame);
}

/// Waits for the next flow of this connection; for its first byte at most `idle`, and for the others no longer.
///
/// # Errors
/// The client broke TLS or the protocol ([`Ended::Tls`], [`Ended::Protocol`]).
pub async fn next_open<C>(secured: &mut Secured, idle: Duration) -> Result<Next, Ended<C>> {
    let mut frame = [0; HEADER_BYTES + OPEN_BYTES];
    let mut filled = 0;
    let read = timeout(idle, async {
        while filled < frame.len() {
            if !std::future::poll_fn(|cx| secured.poll_plain(cx)).await? {
                return Ok(false);
            }
            let plain = secured.inbox.plain();
            let count = plain.len().min(frame.len() - filled);
            frame[filled..filled + count].copy_from_slice(&plain[..count]);
            filled += count;
            secured.inbox.consume(count);
            secured.inbox.release();
            // What is no OPEN is no reason to wait for the rest of one.
            if let Some(header) = frame[..filled].first_chunk()
                && FrameHeader::parse(*header) != Ok(FrameHeader::OPEN)
            {
                return Ok(true);
            }
        }
        Ok::<_, TlsError>(true)
    });
    match read.await {
        Err(_) => Ok(Next::Idle),
        Ok(Ok(false)) if filled == 0 => Ok(Next::Closed),
        Ok(Ok(false)) => Err(Ended::Protocol(FlowError::Cut)),
        Ok(Ok(true)) => parse(&frame).map(Next::Open).map_err(Ended::Protocol),
        // An idle client may be gone without a word.
        Ok(Err(TlsError::Truncated | TlsError::Io(_))) if filled == 0 => Ok(Next::Closed),
        Ok(Err(error)) => Err(Ended::Tls(error)),
    }
}

fn parse(frame: &[u8; HEADER_BYTES + OPEN_BYTES]) -> Result<Open, FlowError> {
    let (header, payload) = frame.split_first_chunk().ok_or(FlowError::Cut)?;
    match FrameHeader::parse(*header)?.kind() {
        Kind::Open => Ok(Open::parse(payload)?),
        kind => Err(FlowError::Order { kind, when: "where a flow should begin" }),
    }
}

/// Answers that the workload took the connection. It is sent by [`super::relay`].
pub fn accept(secured: &mut Secured) {
    secured.queue_data(&FrameHeader::ACCEPT.bytes());
}

/// Answers that there is no flow, and closes the connection: data may have come behind OPEN.
pub async fn refuse(mut secured: Secured, code: RefuseCode) {
    let [kind, a, b, c] = FrameHeader::REFUSE.bytes();
    secured.queue_data(&[kind, a, b, c, code.byte()]);
    secured.close().await;
}
