//! Ethernet frames, a byte at a time, so that they can be wrong in any way a test wants.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

/// A frame with an EtherType.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// IP of either family around a transport payload.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet(0x0800, &v4(source, destination, protocol, 0, payload))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet(0x86dd, &v6(source, destination, protocol, payload))
        }
        _ => unreachable!("a packet has one family"),
    }
}

/// IPv4 without options. `fragment` holds the flags and the offset in units of eight bytes.
pub(crate) fn v4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).expect("a short packet");
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// IPv6 with hop limit 255, which neighbour discovery asks for and nothing else minds.
pub(crate) fn v6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).expect("a short packet").to_be_bytes());
    packet.extend([next, 255]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// A TCP header.
pub(crate) fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut header = source.to_be_bytes().to_vec();
    header.extend(destination.to_be_bytes());
    header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    header
}

/// A UDP header and some payload.
pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = source.to_be_bytes().to_vec();
    header.extend(destination.to_be_bytes());
    header.extend(u16::try_from(8 + payload.len()).expect("a short datagram").to_be_bytes());
    header.extend([0, 0]);
    header.extend(payload);
    header
}

/// An ICMP header: type, code, and the identifier of an echo.
pub(crate) fn icmp(kind: u8, code: u8, identifier: u16) -> Vec<u8> {
    let mut header = vec![kind, code, 0, 0];
    header.extend(identifier.to_be_bytes());
    header.extend([0, 1]);
    header
}

/// An ICMP error that quotes an IP packet.
pub(crate) fn icmp_error(kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 1, 0, 0, 0, 0, 0, 0];
    message.extend(quoted);
    message
}

/// An ARP announcement of an address.
pub(crate) fn arp(sender: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1];
    message.extend(sender.octets());
    message.extend([0, 0, 0, 0, 0, 0]);
    message.extend(sender.octets());
    ethernet(0x0806, &message)
}

/// A neighbour discovery message about a target, to everybody on the link.
pub(crate) fn neighbour(kind: u8, source: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    neighbour_to(kind, source, "ff02::1".parse().expect("an address"), target)
}

/// A neighbour discovery message about a target.
pub(crate) fn neighbour_to(kind: u8, source: Ipv6Addr, destination: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    ethernet(0x86dd, &v6(source, destination, ICMPV6, &message))
}
