//! Addresses and ports.

use std::net::IpAddr;

use enforcer_proto::hubble::flow::layer4::Protocol;
use enforcer_proto::hubble::flow::{Flow, Ip, IpVersion};
use ipnet::IpNet;

use super::{Clause, Place, Refusal};

pub(super) fn source(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    addresses(place, values, |ip| &ip.source)
}

pub(super) fn destination(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    addresses(place, values, |ip| &ip.destination)
}

fn addresses(place: &Place<'_>, values: &[String], of: fn(&Ip) -> &String) -> Result<Clause, Refusal> {
    let mut wanted = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let prefix = value.parse::<IpNet>().or_else(|_| value.parse::<IpAddr>().map(IpNet::from));
        wanted.push(prefix.map_err(|_| place.refuse(at, format!("{value:?} is no address and no prefix")))?);
    }
    Ok(Box::new(move |flow| {
        let address = flow.ip.as_ref().and_then(|ip| of(ip).parse::<IpAddr>().ok());
        address.is_some_and(|address| wanted.iter().any(|prefix| prefix.contains(&address)))
    }))
}

pub(super) fn versions(place: &Place<'_>, values: &[i32]) -> Result<Clause, Refusal> {
    for (at, value) in values.iter().enumerate() {
        IpVersion::try_from(*value).map_err(|_| place.refuse(at, format!("{value} is no version of IP")))?;
    }
    let wanted = values.to_vec();
    Ok(Box::new(move |flow| {
        wanted.contains(&flow.ip.as_ref().map_or(IpVersion::IpNotUsed as i32, |ip| ip.ip_version))
    }))
}

pub(super) fn source_ports(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    ports(place, values, |(source, _)| source)
}

pub(super) fn destination_ports(place: &Place<'_>, values: &[String]) -> Result<Clause, Refusal> {
    ports(place, values, |(_, destination)| destination)
}

fn ports(place: &Place<'_>, values: &[String], of: fn((u32, u32)) -> u32) -> Result<Clause, Refusal> {
    let mut wanted = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let port = value.parse::<u16>().map_err(|_| place.refuse(at, format!("{value:?} is no port")))?;
        wanted.push(u32::from(port));
    }
    Ok(Box::new(move |flow| both(flow).is_some_and(|ports| wanted.contains(&of(ports)))))
}

fn both(flow: &Flow) -> Option<(u32, u32)> {
    match flow.l4?.protocol? {
        Protocol::Tcp(tcp) => Some((tcp.source_port, tcp.destination_port)),
        Protocol::Udp(udp) => Some((udp.source_port, udp.destination_port)),
        Protocol::Sctp(sctp) => Some((sctp.source_port, sctp.destination_port)),
        Protocol::IcmPv4(_) | Protocol::IcmPv6(_) => None,
    }
}
