//! Services: Kubernetes' `port` and `endPort`, and ICMP types and codes.

use enforcer_proto::v1;

use super::scope::{Scope, all};
use crate::policy::model::{PortRange, Protocol};
use crate::policy::parse::limits::MAX_PORTS;
use crate::policy::parse::path::At;
use crate::policy::parse::words::PROTOCOLS;

/// `Some(None)` for every service; `None` when something was refused.
pub(super) fn parse(
    scope: &mut Scope,
    at: &At,
    message: Option<&v1::PortList>,
) -> Option<Option<Vec<PortRange>>> {
    let Some(v1::PortList { items }) = message else { return Some(None) };
    if items.is_empty() {
        scope.refuse("empty_list", at, "is an empty list; leave it out to mean every service, or list some");
        return None;
    }
    if !scope.at_most(at, items.len(), MAX_PORTS) {
        return None;
    }
    all(items.iter().enumerate().map(|(index, port)| range(scope, &at.item(index), port))).map(Some)
}

fn range(scope: &mut Scope, at: &At, message: &v1::Port) -> Option<PortRange> {
    let v1::Port { protocol, port, end_port, icmp_type, icmp_code } = *message;
    let protocol = scope.word(&at.field("protocol"), PROTOCOLS, protocol)?;
    let foreign = match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => [("icmpType", icmp_type), ("icmpCode", icmp_code)],
        Protocol::Icmp | Protocol::Icmpv6 => [("port", port), ("endPort", end_port)],
    };
    let mut own = true;
    for (field, _) in foreign.iter().filter(|(_, value)| value.is_some()) {
        let message = format!("means nothing for {}; leave it out or name another protocol", protocol.name());
        scope.refuse("field_not_of_protocol", &at.field(field), message);
        own = false;
    }
    let (first, last) = match protocol {
        Protocol::Tcp | Protocol::Udp | Protocol::Sctp => port_range(scope, at, port, end_port)?,
        Protocol::Icmp | Protocol::Icmpv6 => icmp_range(scope, at, icmp_type, icmp_code)?,
    };
    own.then_some(PortRange { protocol, first, last })
}

fn port_range(scope: &mut Scope, at: &At, port: Option<u32>, end: Option<u32>) -> Option<(u16, u16)> {
    let first = match port {
        Some(port) => number(scope, &at.field("port"), port, 1, u16::MAX.into())?,
        None if end.is_some() => {
            scope.missing(&at.field("port"), "the first port of the range that endPort ends");
            return None;
        }
        None => return Some((0, u16::MAX)),
    };
    let Some(end) = end else { return Some((first, first)) };
    let last = number(scope, &at.field("endPort"), end, 1, u16::MAX.into())?;
    if last < first {
        let message = format!("{last} is below port {first}; turn the range round");
        scope.refuse("range_upside_down", &at.field("endPort"), message);
        return None;
    }
    Some((first, last))
}

fn icmp_range(scope: &mut Scope, at: &At, kind: Option<u32>, code: Option<u32>) -> Option<(u16, u16)> {
    let Some(kind) = kind else {
        if code.is_none() {
            return Some((0, u16::MAX));
        }
        scope.missing(&at.field("icmpType"), "the type that icmpCode belongs to");
        return None;
    };
    let first = number(scope, &at.field("icmpType"), kind, 0, u8::MAX.into())? << 8;
    let Some(code) = code else { return Some((first, first | 0xff)) };
    let service = first | number(scope, &at.field("icmpCode"), code, 0, u8::MAX.into())?;
    Some((service, service))
}

fn number(scope: &mut Scope, at: &At, value: u32, least: u32, most: u32) -> Option<u16> {
    let fits = (least..=most).contains(&value);
    if !fits {
        scope.refuse("out_of_range", at, format!("{value} is not within {least} and {most}"));
    }
    u16::try_from(value).ok().filter(|_| fits)
}
