//! From the stream to the local socket: the peer may send as much again as the local end has taken.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsRawFd as _;

use bytes::{Buf as _, Bytes};
use h2::RecvStream;
use nix::sys::socket::{Shutdown, shutdown};
use tokio::net::TcpStream;

use super::{End, end_of};
use crate::proxy::native::Traffic;

pub(super) async fn back(local: &TcpStream, recv: &mut RecvStream, traffic: &Traffic) -> Result<(), End> {
    while let Some(data) = poll_fn(|cx| recv.poll_data(cx)).await {
        let mut data = data.map_err(|error| end_of(&error))?;
        while !data.is_empty() {
            let taken = write(local, &data).await.map_err(End::Local)?;
            data.advance(taken);
            traffic.add_received(taken);
            recv.flow_control().release_capacity(taken).map_err(|error| end_of(&error))?;
        }
    }
    shutdown(local.as_raw_fd(), Shutdown::Write).map_err(|errno| End::Local(errno.into()))
}

async fn write(local: &TcpStream, data: &Bytes) -> io::Result<usize> {
    loop {
        match local.try_write(data) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => local.writable().await?,
            outcome => return outcome,
        }
    }
}
