//! Bytes and descriptors over a Unix socket, and who is at its other end.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::geteuid;
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::super::listener::Listener;
use super::HandoverError;
use super::message::BATCH;

/// A frame has arrived.
const THANKS: [u8; 1] = [6];

/// Refuses whoever is neither root nor the agent's own user.
pub(super) fn check_peer(stream: &UnixStream) -> Result<(), HandoverError> {
    let peer = stream.peer_cred().map_err(io_error("ask who is there"))?.uid();
    if peer == 0 || peer == geteuid().as_raw() { Ok(()) } else { Err(HandoverError::Stranger(peer)) }
}

/// Sends everything, the descriptors with the first byte.
pub(super) async fn send(
    stream: &UnixStream,
    mut bytes: &[u8],
    listeners: &[Listener],
) -> Result<(), HandoverError> {
    let mut descriptors: Vec<RawFd> = listeners.iter().map(|listener| listener.as_fd().as_raw_fd()).collect();
    while !bytes.is_empty() {
        let sent = stream
            .async_io(Interest::WRITABLE, || send_some(stream, bytes, &descriptors))
            .await
            .map_err(io_error("send"))?;
        descriptors.clear();
        bytes = bytes.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Fills `bytes`; descriptors that come with them go to `descriptors`.
pub(super) async fn receive(
    stream: &UnixStream,
    bytes: &mut [u8],
    descriptors: &mut Vec<OwnedFd>,
) -> Result<(), HandoverError> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let received = stream
            .async_io(Interest::READABLE, || receive_some(stream, rest, descriptors))
            .await
            .map_err(io_error("receive"))?;
        if received == 0 {
            return Err(HandoverError::Silent);
        }
        filled += received;
    }
    Ok(())
}

/// Says that a frame has arrived.
pub(super) async fn thank(stream: &UnixStream) -> Result<(), HandoverError> {
    send(stream, &THANKS, &[]).await
}

/// Waits until the other end says so.
pub(super) async fn await_thanks(stream: &UnixStream) -> Result<(), HandoverError> {
    let mut answer = [0];
    receive(stream, &mut answer, &mut Vec::new()).await?;
    if answer == THANKS { Ok(()) } else { Err(HandoverError::Message("another answer than expected")) }
}

fn send_some(stream: &UnixStream, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let sent =
        sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(sent)
}

fn receive_some(stream: &UnixStream, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; BATCH]);
    let mut parts = [IoSliceMut::new(bytes)];
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these descriptors for this process; nobody else knows them.
            descriptors.extend(received.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    if descriptors.len() > BATCH || message.flags.contains(MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::other("more descriptors than may come at once"));
    }
    Ok(message.bytes)
}

fn io_error(operation: &'static str) -> impl Fn(io::Error) -> HandoverError {
    move |error| HandoverError::Io { operation, error }
}
