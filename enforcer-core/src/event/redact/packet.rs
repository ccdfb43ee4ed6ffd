//! First bytes of a refused packet, without the address that it was for. A door: never panics, whatever the bytes are.

use std::net::IpAddr;

use enforcer_common::packet::{PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP};

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const V4_CHECKSUM: std::ops::Range<usize> = 10..12;
const V4_DESTINATION: std::ops::Range<usize> = 16..20;
const V6_DESTINATION: std::ops::Range<usize> = 24..40;
/// An ICMP header; behind it may be a packet that the other end had sent.
const ICMP_HEADER: usize = 8;

/// Where the parts of a packet lie that tell of its destination.
struct Layout {
    destination: std::ops::Range<usize>,
    /// Sums over the address: with the rest known, they tell half of it.
    header_checksum: Option<std::ops::Range<usize>>,
    checksum: Option<std::ops::Range<usize>>,
    /// From here on it is not known to be free of the other end's words.
    end: usize,
}

/// The packet as its sender may see it. What cannot be taken apart is left out: options can hold addresses.
pub(super) fn without_destination(packet: &[u8]) -> Vec<u8> {
    let Some(layout) = layout(packet) else { return Vec::new() };
    let mut bytes = packet.get(..layout.end).unwrap_or(packet).to_vec();
    let ranges = [Some(layout.destination), layout.header_checksum, layout.checksum];
    for range in ranges.into_iter().flatten() {
        for place in range {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = 0;
            }
        }
    }
    bytes
}

/// The packet with its destination put back, and the header's sum with it. The sum over its content stays zero.
pub(super) fn with_destination(mut packet: Vec<u8>, address: &str) -> Vec<u8> {
    let Some(layout) = layout(&packet) else { return packet };
    let octets = match address.parse() {
        Ok(IpAddr::V4(v4)) => v4.octets().to_vec(),
        Ok(IpAddr::V6(v6)) => v6.octets().to_vec(),
        Err(_) => return packet,
    };
    if octets.len() != layout.destination.len() {
        return packet;
    }
    if let Some(place) = packet.get_mut(layout.destination) {
        place.copy_from_slice(&octets);
    }
    if let Some(range) = layout.header_checksum {
        let sum = packet.get(..V4_HEADER).map_or(0, checksum);
        if let Some(place) = packet.get_mut(range) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    }
    packet
}

fn layout(packet: &[u8]) -> Option<Layout> {
    match packet.first()? {
        // Version 4, no options.
        0x45 if packet.len() >= V4_HEADER => {
            let is_first = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x1fff == 0;
            let (checksum, end) = content(*packet.get(9)?, V4_HEADER, is_first);
            let header_checksum = Some(V4_CHECKSUM);
            Some(Layout { destination: V4_DESTINATION, header_checksum, checksum, end })
        }
        first if first >> 4 == 6 && packet.len() >= V6_HEADER => {
            let (checksum, end) = content(*packet.get(6)?, V6_HEADER, true);
            Some(Layout { destination: V6_DESTINATION, header_checksum: None, checksum, end })
        }
        _ => None,
    }
}

/// Where the sum over the content lies, and how far the content is the sender's own. Extension headers are not followed.
fn content(protocol: u8, at: usize, is_first: bool) -> (Option<std::ops::Range<usize>>, usize) {
    match protocol {
        _ if !is_first => (None, at),
        PROTOCOL_TCP => (Some(at + 16..at + 18), usize::MAX),
        PROTOCOL_UDP => (Some(at + 6..at + 8), usize::MAX),
        // Its sum is over its own bytes alone.
        PROTOCOL_SCTP => (None, usize::MAX),
        _ => (Some(at + 2..at + 4), at + ICMP_HEADER),
    }
}

/// RFC 1071, over a header whose own sum is zero.
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks_exact(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A SYN from 10.0.0.1 to 10.0.0.2, with its header's sum.
    fn syn() -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
            .extend([0x9c, 0x40, 0x15, 0x38, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0xab, 0xcd, 0, 0]);
        packet
    }

    #[test]
    fn the_senders_packet_has_neither_the_address_nor_sums_over_it() {
        let seen = without_destination(&syn());
        assert_eq!(seen.len(), 40);
        assert_eq!(
            (&seen[10..12], &seen[12..16], &seen[16..20]),
            (&[0; 2][..], &[10, 0, 0, 1][..], &[0; 4][..])
        );
        assert_eq!((&seen[20..24], &seen[36..38]), (&[0x9c, 0x40, 0x15, 0x38][..], &[0; 2][..]));
    }

    #[test]
    fn the_address_comes_back_with_the_headers_sum() {
        let joined = with_destination(without_destination(&syn()), "10.0.0.2");
        assert_eq!(joined[..36], syn()[..36]);
        assert_eq!(joined[36..38], [0, 0]);
        assert_eq!(with_destination(without_destination(&syn()), "fd00::1"), without_destination(&syn()));
    }

    #[test]
    fn what_an_error_message_quotes_is_cut_off() {
        let mut packet = syn();
        packet[9] = 1;
        assert_eq!(without_destination(&packet).len(), 28);
    }

    #[test]
    fn options_and_what_is_no_packet_are_left_out() {
        for packet in [&[][..], &[0x45; 19], &[0x46; 60], &[0x60; 39], &[0xff; 80]] {
            assert_eq!(without_destination(packet), [0; 0]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_lose_their_destination(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            let seen = without_destination(&bytes);
            prop_assert!(seen.len() <= bytes.len());
            if seen.first().is_some_and(|first| first >> 4 == 4) {
                prop_assert_eq!(&seen[16..20], &[0; 4]);
            } else if !seen.is_empty() {
                prop_assert_eq!(&seen[24..40], &[0; 16]);
            }
            let _ = with_destination(seen, "10.0.0.2");
        }
    }
}
