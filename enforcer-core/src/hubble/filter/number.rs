//! Numbers: verdicts, reasons, directions, event types, identities, flags.

use enforcer_proto::hubble::flow::layer4::Protocol;
use enforcer_proto::hubble::flow::{
    DropReason, Endpoint, EventTypeFilter, Flow, TcpFlags, TrafficDirection, Verdict,
};

use super::{Clause, Place, Refusal};

/// A number of an enumeration that this server does not have could be one that it should tell apart.
fn known(
    place: &Place<'_>,
    values: &[i32],
    is_known: fn(i32) -> bool,
    of: fn(&Flow) -> i32,
) -> Result<Clause, Refusal> {
    if let Some(at) = values.iter().position(|value| !is_known(*value)) {
        return Err(place.refuse(at, "is a number that this server does not know"));
    }
    let wanted = values.to_vec();
    Ok(Box::new(move |flow| wanted.contains(&of(flow))))
}

pub(super) fn verdicts(place: &Place<'_>, values: &[i32]) -> Result<Clause, Refusal> {
    known(place, values, |value| Verdict::try_from(value).is_ok(), |flow| flow.verdict)
}

pub(super) fn drop_reasons(place: &Place<'_>, values: &[i32]) -> Result<Clause, Refusal> {
    known(place, values, |value| DropReason::try_from(value).is_ok(), |flow| flow.drop_reason_desc)
}

pub(super) fn directions(place: &Place<'_>, values: &[i32]) -> Result<Clause, Refusal> {
    known(place, values, |value| TrafficDirection::try_from(value).is_ok(), |flow| flow.traffic_direction)
}

/// Type 0 is every type.
pub(super) fn event_types(_: &Place<'_>, values: &[EventTypeFilter]) -> Result<Clause, Refusal> {
    let wanted = values.to_vec();
    Ok(Box::new(move |flow| {
        let Some(event) = &flow.event_type else { return false };
        wanted.iter().any(|wish| {
            (wish.r#type == 0 || wish.r#type == event.r#type)
                && (!wish.match_sub_type || wish.sub_type == event.sub_type)
        })
    }))
}

pub(super) fn protocols(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    let mut wanted: Vec<fn(&Protocol) -> bool> = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        wanted.push(match value.to_ascii_lowercase().as_str() {
            "tcp" => |protocol| matches!(protocol, Protocol::Tcp(_)),
            "udp" => |protocol| matches!(protocol, Protocol::Udp(_)),
            "sctp" => |protocol| matches!(protocol, Protocol::Sctp(_)),
            "icmp" => |protocol| matches!(protocol, Protocol::IcmPv4(_) | Protocol::IcmPv6(_)),
            "icmpv4" => |protocol| matches!(protocol, Protocol::IcmPv4(_)),
            "icmpv6" => |protocol| matches!(protocol, Protocol::IcmPv6(_)),
            "dns" | "http" | "kafka" => {
                return Err(
                    place.refuse(at, format!("{value:?} is above layer 4, where this server does not look"))
                );
            }
            _ => return Err(place.refuse(at, format!("{value:?} is no protocol"))),
        });
    }
    Ok(Box::new(move |flow| {
        let protocol = flow.l4.as_ref().and_then(|layer4| layer4.protocol.as_ref());
        protocol.is_some_and(|protocol| wanted.iter().any(|is| is(protocol)))
    }))
}

/// A packet may have more flags than are asked for.
pub(super) fn tcp_flags(_: &Place<'_>, values: &[TcpFlags]) -> Result<Clause, Refusal> {
    let wanted: Vec<[bool; 9]> = values.iter().map(bits).collect();
    Ok(Box::new(move |flow| {
        let Some(Protocol::Tcp(tcp)) = flow.l4.as_ref().and_then(|layer4| layer4.protocol) else {
            return false;
        };
        let Some(held) = tcp.flags.as_ref().map(bits) else { return false };
        wanted.iter().any(|wish| wish.iter().zip(held).all(|(wish, held)| !wish || held))
    }))
}

const fn bits(flags: &TcpFlags) -> [bool; 9] {
    let TcpFlags { fin, syn, rst, psh, ack, urg, ece, cwr, ns } = *flags;
    [fin, syn, rst, psh, ack, urg, ece, cwr, ns]
}

/// A flow of which it is not known is neither.
pub(super) fn replies(_: &Place<'_>, values: &[bool]) -> Result<Clause, Refusal> {
    let wanted = values.to_vec();
    Ok(Box::new(move |flow| flow.is_reply.is_some_and(|is_reply| wanted.contains(&is_reply))))
}

pub(super) fn encrypted(_: &Place<'_>, values: &[bool]) -> Result<Clause, Refusal> {
    let wanted = values.to_vec();
    Ok(Box::new(move |flow| flow.ip.as_ref().is_some_and(|ip| wanted.contains(&ip.encrypted))))
}

pub(super) fn source_identities(_: &Place<'_>, values: &[u32]) -> Result<Clause, Refusal> {
    Ok(identities(values, |flow| flow.source.as_ref()))
}

pub(super) fn destination_identities(_: &Place<'_>, values: &[u32]) -> Result<Clause, Refusal> {
    Ok(identities(values, |flow| flow.destination.as_ref()))
}

fn identities(values: &[u32], end: fn(&Flow) -> Option<&Endpoint>) -> Clause {
    let wanted = values.to_vec();
    Box::new(move |flow| end(flow).is_some_and(|end| wanted.contains(&end.identity)))
}
