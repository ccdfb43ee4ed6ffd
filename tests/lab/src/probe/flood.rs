//! Many datagrams in a short time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::Result;
use enforcer_lab::probe::Progress;

/// Asking for the time would cost as much as sending.
const DATAGRAMS_PER_LOOK: u64 = 64;

/// Sends from one socket, as fast as it goes, until either limit is reached; says how many left. What happens
/// to each is for the counters to say.
pub(crate) fn flood(to: SocketAddr, count: u64, limit: Duration) -> Result<()> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    let deadline = Instant::now() + limit;
    let mut progress = Progress::default();
    for number in 0..count {
        if socket.send_to(&number.to_be_bytes(), to).is_ok() {
            progress.sent += 1;
        }
        if number.is_multiple_of(DATAGRAMS_PER_LOOK) && Instant::now() >= deadline {
            break;
        }
    }
    println!("{}", serde_json::to_string(&progress)?);
    Ok(())
}
