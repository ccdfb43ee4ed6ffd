//! Ports, flags and ICMP types.

use enforcer_proto::hubble::flow::layer4::Protocol;
use enforcer_proto::hubble::flow::{IcmPv4, IcmPv6, Layer4, Sctp, Tcp, TcpFlags, Udp};
use enforcer_proto::v1;

/// Byte of the flags in a TCP header.
const FLAGS_BYTE: usize = 13;
const PROTOCOL_TCP: u8 = 6;
const IPV6_HEADER_BYTES: usize = 40;

/// Of a record; `None` for protocols that Hubble has no message for.
#[must_use]
pub fn layer4(record: &v1::Record) -> Option<Layer4> {
    let port = |end: &Option<v1::Endpoint>| end.as_ref().map_or(0, |end| end.port);
    let (source_port, destination_port) = (port(&record.source), port(&record.destination));
    let (icmp_type, icmp_code) = (record.icmp_type.unwrap_or(0), record.icmp_code.unwrap_or(0));
    let protocol = match record.protocol.as_str() {
        "TCP" => Protocol::Tcp(Tcp { source_port, destination_port, flags: flags(record) }),
        "UDP" => Protocol::Udp(Udp { source_port, destination_port }),
        "SCTP" => Protocol::Sctp(Sctp { source_port, destination_port }),
        "ICMP" => Protocol::IcmPv4(IcmPv4 { r#type: icmp_type, code: icmp_code }),
        "ICMPv6" => Protocol::IcmPv6(IcmPv6 { r#type: icmp_type, code: icmp_code }),
        _ => return None,
    };
    Some(Layer4 { protocol: Some(protocol) })
}

/// The packet's flags, as the kernel told them or as its first bytes say. `None` where there was no packet.
fn flags(record: &v1::Record) -> Option<TcpFlags> {
    let told = record.flow.as_ref().map_or(0, |flow| flow.tcp_flags);
    let bits = if told == 0 { header_flags(&record.packet)? } else { told };
    let has = |bit: u32| bits >> bit & 1 == 1;
    Some(TcpFlags {
        fin: has(0),
        syn: has(1),
        rst: has(2),
        psh: has(3),
        ack: has(4),
        urg: has(5),
        ece: has(6),
        cwr: has(7),
        ns: has(8),
    })
}

/// From an IP header on; without IPv6 extension headers.
fn header_flags(packet: &[u8]) -> Option<u32> {
    let first = *packet.first()?;
    let (protocol, length) = match first >> 4 {
        4 => (*packet.get(9)?, usize::from(first & 0x0f) * 4),
        6 => (*packet.get(6)?, IPV6_HEADER_BYTES),
        _ => return None,
    };
    (protocol == PROTOCOL_TCP).then_some(())?;
    packet.get(length + FLAGS_BYTE).map(|flags| u32::from(*flags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hubble::stage::record;

    fn of(change: impl FnOnce(&mut v1::Record)) -> Option<Protocol> {
        let mut record = record();
        change(&mut record);
        layer4(&record)?.protocol
    }

    #[test]
    fn each_protocol_has_its_message() {
        let ports = (4_242, 80);
        match of(|_| ()) {
            Some(Protocol::Tcp(tcp)) => assert_eq!((tcp.source_port, tcp.destination_port), ports),
            other => panic!("{other:?}"),
        }
        match of(|record| record.protocol = "UDP".to_owned()) {
            Some(Protocol::Udp(udp)) => assert_eq!((udp.source_port, udp.destination_port), ports),
            other => panic!("{other:?}"),
        }
        match of(|record| record.protocol = "SCTP".to_owned()) {
            Some(Protocol::Sctp(sctp)) => assert_eq!((sctp.source_port, sctp.destination_port), ports),
            other => panic!("{other:?}"),
        }
        let echo = |record: &mut v1::Record, protocol: &str| {
            record.protocol = protocol.to_owned();
            (record.icmp_type, record.icmp_code) = (Some(8), Some(1));
        };
        assert_eq!(of(|record| echo(record, "ICMP")), Some(Protocol::IcmPv4(IcmPv4 { r#type: 8, code: 1 })));
        assert_eq!(
            of(|record| echo(record, "ICMPv6")),
            Some(Protocol::IcmPv6(IcmPv6 { r#type: 8, code: 1 }))
        );
        assert_eq!(of(|record| record.protocol = "47".to_owned()), None);
    }

    fn flags_of(packet: Vec<u8>) -> Option<TcpFlags> {
        match of(|record| record.packet = packet) {
            Some(Protocol::Tcp(tcp)) => tcp.flags,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_come_from_the_kernel_or_from_the_packet() {
        let told = of(|record| {
            record.flow = Some(v1::FlowFacts { tcp_flags: 0x12, ..v1::FlowFacts::default() });
        });
        let syn_ack = TcpFlags { syn: true, ack: true, ..TcpFlags::default() };
        assert!(matches!(told, Some(Protocol::Tcp(tcp)) if tcp.flags == Some(syn_ack)));
        let mut v4 = vec![0; 24 + 20];
        (v4[0], v4[9], v4[24 + 13]) = (0x46, 6, 0x02);
        let syn = TcpFlags { syn: true, ..TcpFlags::default() };
        assert_eq!(flags_of(v4.clone()), Some(syn));
        let mut v6 = vec![0; 40 + 20];
        (v6[0], v6[6], v6[40 + 13]) = (0x60, 6, 0x02);
        assert_eq!(flags_of(v6), Some(syn));
        for length in 0..24 + 14 {
            assert_eq!(flags_of(v4[..length].to_vec()), None, "{length} bytes");
        }
        v4[9] = 17;
        assert_eq!(flags_of(v4), None);
    }
}
