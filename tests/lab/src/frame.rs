//! Frames that no honest stack sends: spoofed, tagged, cut into fragments. Only bytes; sending is the probe's.

use std::net::Ipv4Addr;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// The address of every host-side interface, so that frames can be written without asking for it.
pub const HOST_MAC: Mac = [0xee; 6];
/// Some address of a workload: nobody checks it.
pub const POD_MAC: Mac = [0x02, 0, 0, 0, 0, 1];
/// Everybody.
pub const BROADCAST: Mac = [0xff; 6];

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_VLAN: u16 = 0x8100;
const MORE_FRAGMENTS: u16 = 0x2000;
const PROTOCOL_UDP: u8 = 17;

/// A UDP datagram over IPv4, or a part of one.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Source address.
    pub from: Ipv4Addr,
    /// Destination address.
    pub to: Ipv4Addr,
    /// Destination port.
    pub port: u16,
    /// Identification, which joins fragments.
    pub id: u16,
}

impl Datagram {
    /// Whole, in a frame to the host side.
    #[must_use]
    pub fn frame(&self, payload: &[u8]) -> Vec<u8> {
        ethernet(HOST_MAC, ETHERTYPE_IPV4, &self.packet(0, &self.udp(payload)))
    }

    /// Behind a VLAN tag.
    #[must_use]
    pub fn tagged(&self, vlan: u16, payload: &[u8]) -> Vec<u8> {
        let mut tagged = vlan.to_be_bytes().to_vec();
        tagged.extend(ETHERTYPE_IPV4.to_be_bytes());
        tagged.extend(self.packet(0, &self.udp(payload)));
        ethernet(HOST_MAC, ETHERTYPE_VLAN, &tagged)
    }

    /// Fragments of `cut` bytes each (a multiple of 8), in order.
    #[must_use]
    pub fn fragments(&self, payload: &[u8], cut: usize) -> Vec<Vec<u8>> {
        let whole = self.udp(payload);
        let count = whole.len().div_ceil(cut);
        let parts = whole.chunks(cut).enumerate();
        let frame = |(index, part): (usize, &[u8])| {
            let units = u16::try_from(index * cut / 8).unwrap_or(u16::MAX);
            let more = if index + 1 < count { MORE_FRAGMENTS } else { 0 };
            ethernet(HOST_MAC, ETHERTYPE_IPV4, &self.packet(units | more, part))
        };
        parts.map(frame).collect()
    }

    fn udp(&self, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
        let mut udp = 40_000_u16.to_be_bytes().to_vec();
        udp.extend(self.port.to_be_bytes());
        udp.extend(length.to_be_bytes());
        // A zero checksum means none was computed (RFC 768).
        udp.extend([0, 0]);
        udp.extend(payload);
        udp
    }

    fn packet(&self, fragment: u16, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + content.len()).unwrap_or(u16::MAX);
        let mut header = vec![0x45, 0];
        header.extend(length.to_be_bytes());
        header.extend(self.id.to_be_bytes());
        header.extend(fragment.to_be_bytes());
        header.extend([64, PROTOCOL_UDP, 0, 0]);
        header.extend(self.from.octets());
        header.extend(self.to.octets());
        let [high, low] = checksum(&header).to_be_bytes();
        header.splice(10..12, [high, low]);
        header.extend(content);
        header
    }
}

/// An ARP answer that nobody asked for (RFC 826).
#[must_use]
pub fn arp_reply(claimed: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 2];
    arp.extend(POD_MAC);
    arp.extend(claimed.octets());
    arp.extend(HOST_MAC);
    arp.extend(target.octets());
    ethernet(BROADCAST, ETHERTYPE_ARP, &arp)
}

fn ethernet(to: Mac, ethertype: u16, content: &[u8]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(POD_MAC);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(content);
    frame
}

/// The Internet checksum (RFC 1071) over an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.as_chunks::<2>().0.iter().map(|word| u64::from(u16::from_be_bytes(*word)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

/// Bytes as hexadecimal text.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The reverse; `None` when it is none.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATAGRAM: Datagram =
        Datagram { from: Ipv4Addr::new(10, 0, 0, 1), to: Ipv4Addr::new(10, 0, 0, 2), port: 53, id: 7 };

    #[test]
    fn the_header_checksum_adds_up_to_nothing() {
        let frame = DATAGRAM.frame(b"abcd");
        assert_eq!(checksum(&frame[14..34]), 0);
        assert_eq!(frame.len(), 14 + 20 + 8 + 4);
    }

    #[test]
    fn fragments_cover_the_datagram_once() {
        let fragments = DATAGRAM.fragments(&[1; 40], 16);
        let offsets: Vec<u16> =
            fragments.iter().map(|frame| u16::from_be_bytes([frame[20], frame[21]])).collect();
        assert_eq!(offsets, [MORE_FRAGMENTS, MORE_FRAGMENTS | 2, 4]);
    }

    #[test]
    fn hexadecimal_round_trips() {
        assert_eq!(from_hex(&to_hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        assert_eq!(from_hex("zz"), None);
    }
}
