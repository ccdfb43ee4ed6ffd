//! The first packet of a flow, as an Ethernet frame that the live programs can be asked about.

use std::net::IpAddr;

use enforcer_common::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, TCP_SYN};

use crate::policy::model::Protocol;

/// What the packet is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// The protocol.
    pub protocol: Protocol,
    /// Destination port, or ICMP `type << 8 | code`.
    pub service: u16,
}

/// The first port for ephemeral use (RFC 6335 section 6).
const SOURCE_PORT: u16 = 49152;
/// Locally administered, so that no interface of anyone has them.
const MACS: [u8; 12] = [0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1];
const HOPS: u8 = 64;

/// The frame: TCP SYN, UDP with eight bytes, SCTP INIT without a body, or ICMP echo. `None` when the
/// addresses are not of one family.
#[must_use]
pub fn frame(packet: &Packet) -> Option<Vec<u8>> {
    let (ethertype, header, pseudo) = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let addresses = [source.octets(), destination.octets()].concat();
            (ETHERTYPE_IPV4, ipv4(packet, &addresses), addresses)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let addresses = [source.octets(), destination.octets()].concat();
            (ETHERTYPE_IPV6, ipv6(packet, &addresses), addresses)
        }
        _ => return None,
    };
    Some([&MACS[..], &ethertype.to_be_bytes(), &header, &transport(packet, &pseudo)].concat())
}

/// RFC 791, without options.
fn ipv4(packet: &Packet, addresses: &[u8]) -> Vec<u8> {
    let [high, low] = (20 + transport_len(packet.protocol)).to_be_bytes();
    let fixed = [0x45, 0, high, low, 0, 1, 0x40, 0, HOPS, packet.protocol.number()];
    let sum = checksum(&[&fixed, addresses]);
    [&fixed[..], &sum, addresses].concat()
}

/// RFC 8200, without extension headers.
fn ipv6(packet: &Packet, addresses: &[u8]) -> Vec<u8> {
    let [high, low] = transport_len(packet.protocol).to_be_bytes();
    let fixed = [0x60, 0, 0, 0, high, low, packet.protocol.number(), HOPS];
    [&fixed[..], addresses].concat()
}

const fn transport_len(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 20,
        Protocol::Udp | Protocol::Icmp | Protocol::Icmpv6 => 16,
        Protocol::Sctp => 32,
    }
}

fn transport(packet: &Packet, addresses: &[u8]) -> Vec<u8> {
    let [s0, s1] = SOURCE_PORT.to_be_bytes();
    let [d0, d1] = packet.service.to_be_bytes();
    match packet.protocol {
        Protocol::Tcp => {
            let head = [s0, s1, d0, d1, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, TCP_SYN, 0xff, 0xff];
            let sum = checksum(&[&pseudo(packet, addresses), &head]);
            [&head[..], &sum, &[0, 0]].concat()
        }
        Protocol::Udp => {
            let head = [s0, s1, d0, d1, 0, 16];
            let sum = match checksum(&[&pseudo(packet, addresses), &head]) {
                // Zero means "no checksum" (RFC 768).
                [0, 0] => [0xff, 0xff],
                sum => sum,
            };
            [&head[..], &sum, &[0; 8]].concat()
        }
        // The CRC of RFC 9260 is left zero: nothing between here and the verdict looks at it.
        Protocol::Sctp => [&[s0, s1, d0, d1][..], &[0; 8], &[1, 0, 0, 20], &[0; 16]].concat(),
        Protocol::Icmp => icmp([d0, d1], &[]),
        Protocol::Icmpv6 => icmp([d0, d1], &pseudo(packet, addresses)),
    }
}

/// An echo, or a message of another type with an echo's length.
fn icmp(kind_and_code: [u8; 2], pseudo: &[u8]) -> Vec<u8> {
    let rest = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let sum = checksum(&[pseudo, &kind_and_code, &rest]);
    [&kind_and_code[..], &sum, &rest].concat()
}

/// What transport checksums cover besides: RFC 9293 section 3.1, RFC 8200 section 8.1.
fn pseudo(packet: &Packet, addresses: &[u8]) -> Vec<u8> {
    let [high, low] = transport_len(packet.protocol).to_be_bytes();
    [addresses, &[0, packet.protocol.number(), high, low]].concat()
}

/// The Internet checksum (RFC 1071) over parts of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0_u32;
    for pair in parts.iter().flat_map(|part| part.chunks_exact(2)) {
        let &[high, low] = pair else { continue };
        sum += u32::from(u16::from_be_bytes([high, low]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    use enforcer_common::packet::{Headers, parse_frame};

    use super::*;

    fn packet(source: &str, destination: &str, protocol: Protocol, service: u16) -> Packet {
        Packet {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            protocol,
            service,
        }
    }

    #[test]
    fn the_kernels_parser_reads_what_was_asked() {
        for (source, destination) in [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2")] {
            for protocol in Protocol::ALL {
                let packet = packet(source, destination, protocol, 0x0807);
                let frame = frame(&packet).unwrap();
                let mut headers = Headers::default();
                let _ = parse_frame(frame.as_slice(), 0, &mut headers);
                assert_eq!(headers.protocol, protocol.number());
                assert_eq!(headers.service, 0x0807);
                assert_eq!(headers.source, crate::policy::compile::node::mapped(packet.source));
                assert_eq!(headers.destination, crate::policy::compile::node::mapped(packet.destination));
                let announced = usize::from(transport_len(protocol));
                assert_eq!(frame.len() - usize::try_from(headers.transport).unwrap(), announced);
            }
        }
    }

    #[test]
    fn checksums_come_out_as_zero_at_the_receiver() {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Icmpv6] {
            let packet = packet("2001:db8::1", "2001:db8::2", protocol, 443);
            let frame = frame(&packet).unwrap();
            let (addresses, transport) = (&frame[22..54], &frame[54..]);
            assert_eq!(checksum(&[&pseudo(&packet, addresses), transport]), [0, 0], "{protocol:?}");
        }
        let frame = frame(&packet("192.0.2.1", "192.0.2.2", Protocol::Icmp, 0x0800)).unwrap();
        assert_eq!(checksum(&[&frame[14..34]]), [0, 0]);
        assert_eq!(checksum(&[&frame[34..]]), [0, 0]);
    }

    #[test]
    fn two_families_make_no_packet() {
        assert_eq!(frame(&packet("192.0.2.1", "2001:db8::2", Protocol::Tcp, 1)), None);
    }
}
