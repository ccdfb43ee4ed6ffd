//! The node's own addresses: those of the network namespace that the agent runs in.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// More addresses than a node has.
const MAX_ADDRESSES: usize = 65_536;

/// Every address of this namespace but loopback, which the wall knows by itself, and IPv6 link-local, which
/// names a node only together with a link. IPv4 link-local ones stay: node-local resolvers use them.
pub(super) fn own() -> io::Result<BTreeSet<IpAddr>> {
    let entries = getifaddrs()?;
    let addresses: BTreeSet<IpAddr> =
        entries.filter_map(|entry| to_ip(&entry.address?)).filter(is_node).take(MAX_ADDRESSES + 1).collect();
    if addresses.len() > MAX_ADDRESSES {
        return Err(io::Error::other(format!("more than {MAX_ADDRESSES} addresses")));
    }
    Ok(addresses)
}

fn to_ip(address: &nix::sys::socket::SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

fn is_node(address: &IpAddr) -> bool {
    let is_link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    !address.is_loopback() && !is_link_local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_ipv6_link_local_are_not_the_node() {
        for (text, expected) in [
            ("127.0.0.1", false),
            ("127.9.0.1", false),
            ("::1", false),
            ("fe80::1", false),
            ("169.254.20.10", true),
            ("10.0.0.1", true),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_node(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
