//! Many datagrams in a short time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use anyhow::Result;
use enforcer_lab::outcome::Outcome;

/// Sends `count` datagrams from one socket; what happens to each is for the counters to say.
pub(crate) fn flood(to: SocketAddr, count: u64) -> Result<Outcome> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    let mut last = Outcome::Ok;
    for number in 0..count {
        if let Err(error) = socket.send_to(&number.to_be_bytes(), to) {
            last = Outcome::from(error);
        }
    }
    Ok(last)
}
