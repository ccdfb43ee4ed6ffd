//! Services of rules: how they lie to each other, and in words. `None` is every protocol and service.

use crate::policy::model::{PortRange, Protocol};

/// True when two rules speak of one service.
pub(super) fn overlaps(a: Option<&[PortRange]>, b: Option<&[PortRange]>) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    a.iter().any(|a| b.iter().any(|b| a.protocol == b.protocol && a.first <= b.last && b.first <= a.last))
}

/// True when `covers` together leave nothing of `ports`. Every protocol has services of its own, and there are
/// protocols without: only a rule about everything covers everything.
pub(super) fn covers<'a>(
    covers: impl Iterator<Item = Option<&'a [PortRange]>>,
    ports: Option<&[PortRange]>,
) -> bool {
    let mut ranges: Vec<PortRange> = Vec::new();
    for cover in covers {
        match cover {
            None => return true,
            Some(cover) => ranges.extend(cover),
        }
    }
    ranges.sort_by_key(|range| (range.protocol, range.first));
    ports.is_some_and(|ports| ports.iter().all(|range| is_covered(&ranges, range)))
}

/// `ranges` in ascending order.
fn is_covered(ranges: &[PortRange], range: &PortRange) -> bool {
    let mut next = u32::from(range.first);
    for cover in ranges.iter().filter(|cover| cover.protocol == range.protocol) {
        if u32::from(cover.first) <= next {
            next = next.max(u32::from(cover.last) + 1);
        }
    }
    next > u32::from(range.last)
}

/// `TCP 80, UDP 53-54, ICMP type 8`.
pub(super) fn ports_text(ports: Option<&[PortRange]>) -> String {
    match ports {
        None => "every protocol and port".to_owned(),
        Some(ports) => ports.iter().map(range_text).collect::<Vec<_>>().join(", "),
    }
}

fn range_text(range: &PortRange) -> String {
    let PortRange { protocol, first, last } = *range;
    let name = protocol.name();
    match (protocol, first, last) {
        (_, 0, u16::MAX) => name.to_owned(),
        (Protocol::Tcp | Protocol::Udp | Protocol::Sctp, first, last) if first == last => {
            format!("{name} {first}")
        }
        (Protocol::Tcp | Protocol::Udp | Protocol::Sctp, first, last) => format!("{name} {first}-{last}"),
        (Protocol::Icmp | Protocol::Icmpv6, first, last) => {
            let ([first, low], [last, high]) = (first.to_be_bytes(), last.to_be_bytes());
            match (first == last, low, high) {
                (true, 0, u8::MAX) => format!("{name} type {first}"),
                (true, low, high) if low == high => format!("{name} type {first} code {low}"),
                _ => format!("{name} type {first} code {low} to type {last} code {high}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(protocol: Protocol, first: u16, last: u16) -> PortRange {
        PortRange { protocol, first, last }
    }

    #[test]
    fn services_have_words() {
        let text = |protocol, first, last| ports_text(Some(&[range(protocol, first, last)]));
        assert_eq!(text(Protocol::Tcp, 80, 80), "TCP 80");
        assert_eq!(text(Protocol::Udp, 1, 2), "UDP 1-2");
        assert_eq!(text(Protocol::Sctp, 0, 65535), "SCTP");
        assert_eq!(text(Protocol::Icmp, 0x0800, 0x08ff), "ICMP type 8");
        assert_eq!(text(Protocol::Icmpv6, 0x8001, 0x8001), "ICMPv6 type 128 code 1");
        assert_eq!(text(Protocol::Icmp, 0x0001, 0x0302), "ICMP type 0 code 1 to type 3 code 2");
        assert_eq!(ports_text(None), "every protocol and port");
    }

    #[test]
    fn a_range_is_covered_by_what_covers_every_service_of_it() {
        let (low, high) = (range(Protocol::Tcp, 0, 99), range(Protocol::Tcp, 100, 200));
        let is_covered = |by: &[PortRange], ports: &[PortRange]| {
            covers(by.iter().map(|range| Some(std::slice::from_ref(range))), Some(ports))
        };
        assert!(is_covered(&[high, low], &[range(Protocol::Tcp, 50, 200)]));
        assert!(!is_covered(&[high, low], &[range(Protocol::Tcp, 50, 201)]));
        assert!(!is_covered(&[high], &[range(Protocol::Tcp, 99, 150)]));
        assert!(!is_covered(&[high, low], &[range(Protocol::Udp, 100, 100)]));
        assert!(!covers(Protocol::ALL.iter().map(|_| Some([].as_slice())), None), "GRE is none of them");
        assert!(covers([None].into_iter(), None));
        assert!(overlaps(Some(&[low]), None) && !overlaps(Some(&[low]), Some(&[high])));
    }
}
