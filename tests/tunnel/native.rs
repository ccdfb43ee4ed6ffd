//! Our own hop, byte by byte, as somebody writes it who is no agent of ours.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};

pub(crate) const OPEN: u8 = 1;
pub(crate) const ACCEPT: u8 = 2;
pub(crate) const REFUSE: u8 = 3;
pub(crate) const DATA: u8 = 4;
pub(crate) const FIN: u8 = 5;
pub(crate) const RESET: u8 = 6;

/// Codes of a refusal.
pub(crate) const DENIED: u8 = 1;
pub(crate) const REFUSED: u8 = 3;
pub(crate) const BAD_TARGET: u8 = 6;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) const fn new(kind: u8, payload: Vec<u8>) -> Self {
        Self { kind, payload }
    }

    /// Asks for a flow.
    pub(crate) fn open(source: SocketAddr, destination: SocketAddr) -> Self {
        let mut payload = vec![1, 0];
        payload.extend(end(destination));
        payload.extend(end(source));
        payload.extend([0x5a; 16]);
        Self::new(OPEN, payload)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        header(self.kind, self.payload.len()).into_iter().chain(self.payload.iter().copied()).collect()
    }

    pub(crate) fn send(&self, to: &mut impl Write) -> Result<()> {
        to.write_all(&self.bytes())?;
        Ok(to.flush()?)
    }

    pub(crate) fn receive(from: &mut impl Read) -> Result<Self> {
        let mut header = [0; 4];
        from.read_exact(&mut header)?;
        let [kind, a, b, c] = header;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c]))?;
        ensure!(length <= 1 << 20, "a frame of {length} bytes");
        let mut payload = vec![0; length];
        from.read_exact(&mut payload)?;
        Ok(Self { kind, payload })
    }
}

/// The four bytes before a payload of this length.
pub(crate) fn header(kind: u8, length: usize) -> [u8; 4] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    [kind, a, b, c]
}

fn end(at: SocketAddr) -> Vec<u8> {
    let address = match at.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    at.port().to_be_bytes().into_iter().chain(address.octets()).collect()
}
