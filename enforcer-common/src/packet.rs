//! The packet parser: from bytes to [`Headers`], or to the reason why not. One function reads every byte,
//! and it refuses rather than guesses. It must not know about tenants.

use crate::address::{self, Address};
use crate::maps::FlowKey;
use crate::reason;

/// Reads `N` bytes at `offset`, or `None` when the packet is shorter.
pub trait Packet {
    /// The bytes.
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]>;
}

impl Packet for [u8] {
    fn read<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let start = usize::try_from(offset).ok()?;
        self.get(start..start.checked_add(N)?)?.try_into().ok()
    }
}

/// ICMP for IPv4.
pub const PROTOCOL_ICMP: u8 = 1;
/// IPv4 in IP.
pub const PROTOCOL_IPIP: u8 = 4;
/// TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// IPv6 in IP.
pub const PROTOCOL_IPV6: u8 = 41;
/// Generic routing encapsulation.
pub const PROTOCOL_GRE: u8 = 47;
/// ICMP for IPv6.
pub const PROTOCOL_ICMPV6: u8 = 58;
/// SCTP.
pub const PROTOCOL_SCTP: u8 = 132;

/// EtherType of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// EtherType of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// EtherType of an 802.1ad tag.
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// Bytes of an Ethernet header.
pub const ETHERNET_BYTES: u32 = 14;
/// Bytes of a VLAN tag.
pub const VLAN_BYTES: u32 = 4;

/// TCP flag bits.
pub const TCP_FIN: u8 = 1;
/// Synchronise.
pub const TCP_SYN: u8 = 2;
/// Reset.
pub const TCP_RST: u8 = 4;
/// Acknowledge.
pub const TCP_ACK: u8 = 16;

/// Extension headers walked before the packet is refused.
const EXTENSIONS_WALKED: u32 = 6;

/// Not fragmented.
pub const FRAGMENT_NONE: u8 = 0;
/// The first fragment: it holds the transport header.
pub const FRAGMENT_FIRST: u8 = 1;
/// A later fragment: no ports.
pub const FRAGMENT_LATER: u8 = 2;

/// What a packet says of itself. Ports in host byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Source port; for ICMP echo the identifier; 0 without.
    pub source_port: u16,
    /// Destination port; for ICMP echo the identifier; 0 without.
    pub destination_port: u16,
    /// What policy asks about: destination port, or ICMP `type << 8 | code`.
    pub service: u16,
    /// Transport protocol.
    pub protocol: u8,
    /// TCP flags, 0 for others.
    pub tcp_flags: u8,
    /// `FRAGMENT_*`.
    pub fragment: u8,
    /// IPv4 TTL or IPv6 hop limit.
    pub hop_limit: u8,
    /// Identification of a fragmented datagram.
    pub fragment_id: u32,
    /// First byte of the payload that this fragment carries.
    pub fragment_offset: u32,
    /// One past the last byte that this fragment carries.
    pub fragment_end: u32,
    /// Where the transport header starts, from the start of what was parsed.
    pub transport: u32,
}

/// What was parsed, or why not: a number, because it crosses a function boundary in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed(u32);

impl Parsed {
    /// IPv4 or IPv6.
    pub const IP: Self = Self(0);
    /// ARP. `headers.source` is the protocol address that the sender claims, mapped; nothing else is set.
    pub const ARP: Self = Self(1 << 16);

    const fn refused(reason: u16) -> Self {
        Self(reason as u32)
    }

    /// Why the packet is refused, if it is.
    #[must_use]
    #[inline(always)]
    pub const fn refusal(self) -> Option<u16> {
        if self.0 & 0xffff == 0 { None } else { Some((self.0 & 0xffff) as u16) }
    }
}

/// An Ethernet frame. `vlan` is not 0 when a tag is allowed. Headers are written in place, as far as they can
/// be read: the kernel's stack has 512 bytes. A function of its own there, for the same reason.
#[inline(never)]
pub fn parse_frame<P: Packet + ?Sized>(packet: &P, vlan: u32, headers: &mut Headers) -> Parsed {
    match frame(packet, vlan, headers) {
        Ok(parsed) => parsed,
        Err(reason) => Parsed::refused(reason),
    }
}

#[inline(always)]
fn frame<P: Packet + ?Sized>(packet: &P, vlan: u32, headers: &mut Headers) -> Result<Parsed, u16> {
    let [t0, t1] = packet.read::<2>(12).ok_or(reason::MALFORMED)?;
    let mut ethertype = u16::from_be_bytes([t0, t1]);
    let mut offset = ETHERNET_BYTES;
    if ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_QINQ {
        if vlan == 0 {
            return Err(reason::VLAN_NOT_GRANTED);
        }
        let [_, _, i0, i1] = packet.read::<4>(offset).ok_or(reason::MALFORMED)?;
        ethertype = u16::from_be_bytes([i0, i1]);
        offset += VLAN_BYTES;
    }
    match ethertype {
        ETHERTYPE_IPV4 => parse_v4(packet, offset, headers).map(|()| Parsed::IP),
        ETHERTYPE_IPV6 => parse_v6(packet, offset, headers).map(|()| Parsed::IP),
        ETHERTYPE_ARP => parse_arp(packet, offset, headers).map(|()| Parsed::ARP),
        ETHERTYPE_VLAN | ETHERTYPE_QINQ => Err(reason::VLAN_NOT_GRANTED),
        _ => Err(reason::ETHERTYPE_UNKNOWN),
    }
}

/// An IP packet without a link header, as the socket hooks see it. Otherwise as [`parse_frame`].
#[inline(never)]
pub fn parse_ip<P: Packet + ?Sized>(packet: &P, ethertype: u16, headers: &mut Headers) -> Parsed {
    let outcome = match ethertype {
        ETHERTYPE_IPV4 => parse_v4(packet, 0, headers),
        ETHERTYPE_IPV6 => parse_v6(packet, 0, headers),
        _ => Err(reason::ETHERTYPE_UNKNOWN),
    };
    match outcome {
        Ok(()) => Parsed::IP,
        Err(reason) => Parsed::refused(reason),
    }
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[inline(always)]
fn parse_arp<P: Packet + ?Sized>(packet: &P, offset: u32, headers: &mut Headers) -> Result<(), u16> {
    let [h0, h1, p0, p1, hardware_len, protocol_len] = packet.read::<6>(offset).ok_or(reason::MALFORMED)?;
    let ethernet_ipv4 = h0 == 0
        && h1 == 1
        && u16::from_be_bytes([p0, p1]) == ETHERTYPE_IPV4
        && hardware_len == 6
        && protocol_len == 4;
    if !ethernet_ipv4 {
        return Err(reason::MALFORMED);
    }
    headers.source = address::from_v4(packet.read::<4>(offset + 14).ok_or(reason::MALFORMED)?);
    Ok(())
}

/// IPv4 (RFC 791). Options are refused.
#[inline(always)]
fn parse_v4<P: Packet + ?Sized>(packet: &P, offset: u32, headers: &mut Headers) -> Result<(), u16> {
    let ip = packet.read::<20>(offset).ok_or(reason::MALFORMED)?;
    let [version, _, l0, l1, id0, id1, f0, f1, ttl, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = ip;
    if version >> 4 != 4 || version & 0x0f < 5 {
        return Err(reason::MALFORMED);
    }
    headers.source = address::from_v4([s0, s1, s2, s3]);
    headers.destination = address::from_v4([d0, d1, d2, d3]);
    headers.protocol = protocol;
    headers.hop_limit = ttl;
    if version & 0x0f != 5 {
        return Err(reason::IPV4_OPTIONS);
    }
    let fragment = u16::from_be_bytes([f0, f1]);
    let payload = u32::from(u16::from_be_bytes([l0, l1])).saturating_sub(20);
    headers.fragment_offset = u32::from(fragment & 0x1fff) * 8;
    headers.fragment = fragment_kind(headers.fragment_offset, u32::from(fragment >> 13) & 1);
    headers.fragment_id = u32::from(u16::from_be_bytes([id0, id1]));
    headers.fragment_end = headers.fragment_offset + payload;
    headers.transport = offset + 20;
    parse_transport(packet, headers)
}

#[inline(always)]
const fn fragment_kind(offset: u32, more: u32) -> u8 {
    if offset != 0 {
        FRAGMENT_LATER
    } else if more != 0 {
        FRAGMENT_FIRST
    } else {
        FRAGMENT_NONE
    }
}

/// IPv6 (RFC 8200). Hop-by-hop, destination options, authentication and fragment headers are walked;
/// routing headers are refused (RFC 5095 for type 0, and no workload needs the others), and so are IPv4-mapped
/// addresses, which never stand on a wire and would pass for IPv4 ones in the tables.
#[inline(always)]
fn parse_v6<P: Packet + ?Sized>(packet: &P, offset: u32, headers: &mut Headers) -> Result<(), u16> {
    let [version, _, _, _, l0, l1, next, hop_limit] = packet.read::<8>(offset).ok_or(reason::MALFORMED)?;
    if version >> 4 != 6 {
        return Err(reason::MALFORMED);
    }
    headers.source = packet.read::<16>(offset + 8).ok_or(reason::MALFORMED)?;
    headers.destination = packet.read::<16>(offset + 24).ok_or(reason::MALFORMED)?;
    if address::to_v4(&headers.source).is_some() || address::to_v4(&headers.destination).is_some() {
        return Err(reason::MALFORMED);
    }
    headers.protocol = next;
    headers.hop_limit = hop_limit;
    headers.transport = offset + 40;
    let end = 40 + u32::from(u16::from_be_bytes([l0, l1]));
    walk_extensions(packet, offset, end, headers)?;
    parse_transport(packet, headers)
}

#[inline(always)]
fn walk_extensions<P: Packet + ?Sized>(
    packet: &P,
    start: u32,
    end: u32,
    headers: &mut Headers,
) -> Result<(), u16> {
    let mut walked = 0;
    while walked < EXTENSIONS_WALKED {
        walked += 1;
        match headers.protocol {
            0 | 60 => {
                let [next, units] = packet.read::<2>(headers.transport).ok_or(reason::MALFORMED)?;
                headers.protocol = next;
                headers.transport += (u32::from(units) + 1) * 8;
            }
            51 => {
                let [next, units] = packet.read::<2>(headers.transport).ok_or(reason::MALFORMED)?;
                headers.protocol = next;
                headers.transport += (u32::from(units) + 2) * 4;
            }
            44 => {
                if headers.fragment != FRAGMENT_NONE {
                    return Err(reason::MALFORMED);
                }
                let [next, _, o0, o1, i0, i1, i2, i3] =
                    packet.read::<8>(headers.transport).ok_or(reason::MALFORMED)?;
                let word = u16::from_be_bytes([o0, o1]);
                headers.protocol = next;
                headers.transport += 8;
                headers.fragment_offset = u32::from(word & 0xfff8);
                headers.fragment = fragment_kind(headers.fragment_offset, u32::from(word & 1));
                headers.fragment_id = u32::from_be_bytes([i0, i1, i2, i3]);
                headers.fragment_end =
                    headers.fragment_offset + (start + end).saturating_sub(headers.transport);
                if headers.fragment == FRAGMENT_LATER {
                    return Ok(());
                }
            }
            43 | 135 | 139 | 140 => return Err(reason::IPV6_EXTENSIONS),
            _ => return Ok(()),
        }
    }
    match headers.protocol {
        0 | 43 | 44 | 51 | 60 | 135 | 139 | 140 => Err(reason::IPV6_EXTENSIONS),
        _ => Ok(()),
    }
}

/// Ports, flags, ICMP type and code. A first fragment that is too short for them is refused: a later one
/// could supply what was checked here (RFC 1858).
#[inline(always)]
fn parse_transport<P: Packet + ?Sized>(packet: &P, headers: &mut Headers) -> Result<(), u16> {
    if headers.fragment == FRAGMENT_LATER {
        return Ok(());
    }
    let short = if headers.fragment == FRAGMENT_FIRST { reason::FRAGMENT_TINY } else { reason::MALFORMED };
    match headers.protocol {
        PROTOCOL_TCP => {
            if headers.fragment == FRAGMENT_FIRST && headers.fragment_end < 20 {
                return Err(short);
            }
            let [s0, s1, d0, d1, .., flags] = packet.read::<14>(headers.transport).ok_or(short)?;
            headers.source_port = u16::from_be_bytes([s0, s1]);
            headers.destination_port = u16::from_be_bytes([d0, d1]);
            headers.service = headers.destination_port;
            headers.tcp_flags = flags;
        }
        PROTOCOL_UDP | PROTOCOL_SCTP => {
            let [s0, s1, d0, d1, ..] = packet.read::<8>(headers.transport).ok_or(short)?;
            headers.source_port = u16::from_be_bytes([s0, s1]);
            headers.destination_port = u16::from_be_bytes([d0, d1]);
            headers.service = headers.destination_port;
        }
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 => {
            let [kind, code, _, _, i0, i1, _, _] = packet.read::<8>(headers.transport).ok_or(short)?;
            headers.service = u16::from_be_bytes([kind, code]);
            if is_echo(headers.protocol, kind) {
                headers.source_port = u16::from_be_bytes([i0, i1]);
                headers.destination_port = headers.source_port;
            }
        }
        _ => {}
    }
    Ok(())
}

#[inline(always)]
const fn is_echo(protocol: u8, kind: u8) -> bool {
    match protocol {
        PROTOCOL_ICMP => kind == 8 || kind == 0,
        PROTOCOL_ICMPV6 => kind == 128 || kind == 129,
        _ => false,
    }
}

impl Headers {
    /// The ICMP type, meaningless for other protocols.
    #[must_use]
    #[inline(always)]
    pub const fn icmp_type(&self) -> u8 {
        let [kind, _] = self.service.to_be_bytes();
        kind
    }

    /// An ICMP message about another packet: RFC 792 types 3, 11 and 12, RFC 4443 types 1 to 4.
    #[must_use]
    #[inline(always)]
    pub const fn is_icmp_error(&self) -> bool {
        match self.protocol {
            PROTOCOL_ICMP => matches!(self.icmp_type(), 3 | 11 | 12),
            PROTOCOL_ICMPV6 => matches!(self.icmp_type(), 1..=4),
            _ => false,
        }
    }

    /// True when the packet may answer a tracked flow. What opens something (a TCP SYN, an ICMP request)
    /// never does, so that an old flow's ports cannot be used backwards.
    #[must_use]
    #[inline(always)]
    pub const fn may_be_reply(&self) -> bool {
        match self.protocol {
            PROTOCOL_TCP => self.tcp_flags & (TCP_SYN | TCP_ACK) != TCP_SYN,
            PROTOCOL_ICMP => self.icmp_type() == 0,
            PROTOCOL_ICMPV6 => self.icmp_type() == 129,
            _ => true,
        }
    }
}

/// The flow key of the packet that an ICMP error is about, `None` when that is cut, fragmented or has options.
/// Only addresses, protocol and ports are read, since the rest may be cut.
#[must_use]
#[inline(always)]
pub fn parse_quoted<P: Packet + ?Sized>(packet: &P, error: &Headers, key: &mut FlowKey) -> Option<()> {
    let offset = error.transport + 8;
    let transport = if error.protocol == PROTOCOL_ICMP {
        let [version, _, _, _, _, _, f0, f1, _, protocol] = packet.read::<10>(offset)?;
        if version != 0x45 || u16::from_be_bytes([f0, f1]) & 0x1fff != 0 {
            return None;
        }
        key.protocol = protocol;
        key.source = address::from_v4(packet.read::<4>(offset + 12)?);
        key.destination = address::from_v4(packet.read::<4>(offset + 16)?);
        offset + 20
    } else {
        let [version, _, _, _, _, _, next, _] = packet.read::<8>(offset)?;
        if version >> 4 != 6 {
            return None;
        }
        key.protocol = next;
        key.source = packet.read::<16>(offset + 8)?;
        key.destination = packet.read::<16>(offset + 24)?;
        offset + 40
    };
    let [a, b, c, d, i0, i1, _, _] = packet.read::<8>(transport)?;
    match key.protocol {
        PROTOCOL_TCP | PROTOCOL_UDP | PROTOCOL_SCTP => {
            key.source_port = u16::from_be_bytes([a, b]);
            key.destination_port = u16::from_be_bytes([c, d]);
        }
        PROTOCOL_ICMP | PROTOCOL_ICMPV6 if is_echo(key.protocol, a) => {
            key.source_port = u16::from_be_bytes([i0, i1]);
            key.destination_port = key.source_port;
        }
        _ => {}
    }
    Some(())
}
