//! From the local socket to the stream: nothing is read that the peer has not granted room for.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::SendStream;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::SEND_BUFFER;
use super::super::purse::Hold;
use super::{End, end_of};
use crate::proxy::native::Traffic;
use crate::proxy::tls::Purse;

/// Most bytes of one read.
const CHUNK: usize = 64 * 1024;
/// Room below which a new buffer is begun: what is left of the old one is wasted while its bytes wait.
const ROOM_MIN: usize = 8 * 1024;
/// What a way costs while bytes flow.
const COST: usize = SEND_BUFFER + CHUNK;
/// How long nothing flows before it costs nothing.
const QUIET: Duration = Duration::from_secs(1);

pub(super) async fn forward(
    local: &TcpStream,
    send: &mut SendStream<Bytes>,
    purse: &Arc<dyn Purse>,
    traffic: &Traffic,
) -> Result<(), End> {
    loop {
        readable(local, send).await?;
        let _cost = Hold::wait(purse, COST).await;
        if burst(local, send, traffic).await? == Burst::Last {
            return Ok(());
        }
    }
}

/// What follows a run of bytes.
#[derive(PartialEq, Eq)]
enum Burst {
    /// The end.
    Last,
    /// More, later.
    Paused,
}

/// Moves bytes until the local socket has ended, or has been quiet for a while and everything is on its way.
async fn burst(local: &TcpStream, send: &mut SendStream<Bytes>, traffic: &Traffic) -> Result<Burst, End> {
    let mut buffer = BytesMut::new();
    loop {
        let room = room(send).await?;
        if buffer.capacity() < ROOM_MIN.min(room) {
            buffer.reserve(CHUNK);
        }
        match local.try_read_buf(&mut (&mut buffer).limit(room.min(CHUNK))) {
            Ok(0) => {
                send.send_data(Bytes::new(), true).map_err(|error| end_of(&error))?;
                return Ok(Burst::Last);
            }
            Ok(taken) => {
                send.send_data(buffer.split().freeze(), false).map_err(|error| end_of(&error))?;
                traffic.add_sent(taken);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Room that is reserved and not used is taken from the other streams.
                send.reserve_capacity(0);
                match timeout(QUIET, readable(local, send)).await {
                    Ok(ready) => ready?,
                    Err(_) if is_drained(send) => return Ok(Burst::Paused),
                    Err(_) => {}
                }
            }
            Err(error) => return Err(End::Local(error)),
        }
    }
}

/// Once something can be read, or the peer has reset the stream.
async fn readable(local: &TcpStream, send: &mut SendStream<Bytes>) -> Result<(), End> {
    poll_fn(|cx| {
        reset(send, cx)?;
        local.poll_read_ready(cx).map_err(End::Local)
    })
    .await
}

/// How much may be sent, once it is more than nothing.
async fn room(send: &mut SendStream<Bytes>) -> Result<usize, End> {
    send.reserve_capacity(CHUNK);
    poll_fn(|cx| {
        loop {
            match send.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room)),
            }
            reset(send, cx)?;
            match send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(end_of(&error))),
                Poll::Ready(None) => return Poll::Ready(Err(End::Connection)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

fn reset(send: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Result<(), End> {
    match send.poll_reset(cx) {
        Poll::Ready(Ok(reason)) => Err(End::Peer(reason)),
        Poll::Ready(Err(error)) => Err(end_of(&error)),
        Poll::Pending => Ok(()),
    }
}

/// Whether nothing waits to be written, as far as the peer's window lets one see.
fn is_drained(send: &mut SendStream<Bytes>) -> bool {
    send.reserve_capacity(SEND_BUFFER);
    let is_drained = send.capacity() == SEND_BUFFER;
    send.reserve_capacity(0);
    is_drained
}
