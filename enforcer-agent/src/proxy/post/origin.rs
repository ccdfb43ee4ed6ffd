//! Whose an intercepted connection is and where it was going, as the kernel programs remember it.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd as _;

use enforcer_common::maps::{ORIGIN_LEVEL, ORIGIN_OPTION, OriginValue};
use tokio::net::TcpStream;

/// What is known of an intercepted connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Where it was going.
    pub destination: SocketAddr,
    /// Cookie of the workload's socket.
    pub cookie: u64,
    /// The control group by which the workload was recognised.
    pub cgroup: u64,
    /// Number of its tenant.
    pub identity: u32,
    /// The rule that asks for the tunnel.
    pub rule: u32,
}

impl From<OriginValue> for Origin {
    fn from(value: OriginValue) -> Self {
        let OriginValue { destination, cookie, cgroup, identity, rule, port, reserved: _ } = value;
        let address = IpAddr::from(Ipv6Addr::from(destination)).to_canonical();
        Self { destination: SocketAddr::new(address, port), cookie, cgroup, identity, rule }
    }
}

/// Asks the kernel programs about a connection that was accepted. `None` when they did not send it here: a workload
/// connected to the agent's port by itself.
///
/// # Errors
/// The socket cannot be asked.
pub fn origin(stream: &TcpStream) -> io::Result<Option<Origin>> {
    let mut value = OriginValue::default();
    let expected = libc::socklen_t::try_from(size_of::<OriginValue>()).map_err(io::Error::other)?;
    let mut length = expected;
    // SAFETY: the kernel writes at most `length` bytes into `value`, a plain structure of that size for which every
    // pattern of bits is valid; both live through the call.
    let outcome = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            ORIGIN_LEVEL,
            ORIGIN_OPTION,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if outcome == 0 {
        return if length == expected { Ok(Some(value.into())) } else { Err(other_length(length)) };
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // Nothing is remembered, or no program answers at this level.
        Some(libc::ENOENT | libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::EPERM) => Ok(None),
        _ => Err(error),
    }
}

fn other_length(length: libc::socklen_t) -> io::Error {
    io::Error::other(format!("the origin of a connection has {length} bytes: another version's programs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_address_is_an_ipv4_one_and_others_stay() {
        let of = |address: &str| {
            let destination = address.parse::<Ipv6Addr>().unwrap().octets();
            Origin::from(OriginValue { destination, port: 443, identity: 7, ..OriginValue::default() })
        };
        assert_eq!(of("::ffff:192.0.2.1").destination, "192.0.2.1:443".parse().unwrap());
        assert_eq!(of("2001:db8::1").destination, "[2001:db8::1]:443".parse().unwrap());
        assert_eq!(of("::1").identity, 7);
    }

    #[tokio::test]
    async fn a_connection_that_nobody_intercepted_has_no_origin() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        assert_eq!(origin(&server).unwrap(), None);
        assert_eq!(origin(&client).unwrap(), None);
    }
}
