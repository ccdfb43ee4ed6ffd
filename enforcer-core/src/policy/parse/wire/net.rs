//! Addresses and prefixes. An address that could stand for another one, or for nobody, is refused.

use std::net::{IpAddr, Ipv4Addr};

use enforcer_proto::v1;
use ipnet::IpNet;

use super::scope::{Scope, all};
use crate::policy::model::IpBlock;
use crate::policy::parse::limits::MAX_EXCEPT;
use crate::policy::parse::path::At;
use crate::policy::problem::shown;

/// The address of one workload or node.
pub(super) fn address(scope: &mut Scope, at: &At, text: &str) -> Option<IpAddr> {
    if text.is_empty() {
        scope.missing(at, "an IPv4 or IPv6 address");
        return None;
    }
    let Ok(address) = text.parse::<IpAddr>() else {
        let message =
            format!("'{}' is no IPv4 or IPv6 address; write it without a prefix length", shown(text));
        scope.refuse("invalid_address", at, message);
        return None;
    };
    if let Some(v4) = mapped(&address) {
        let message = format!("{address} is an IPv4 address in IPv6 clothes; write {v4}");
        scope.refuse("mapped_address", at, message);
        return None;
    }
    let special = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_multicast() {
        "a multicast address"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        "the broadcast address"
    } else {
        return Some(address);
    };
    scope.refuse(
        "special_address",
        at,
        format!("{address} is {special}, which nobody can hold; use a unicast address"),
    );
    None
}

/// A prefix less some longer ones.
pub(super) fn block(scope: &mut Scope, at: &At, message: &v1::IpBlock) -> Option<IpBlock> {
    let v1::IpBlock { cidr, except } = message;
    let list = at.field("except");
    if !scope.at_most(&list, except.len(), MAX_EXCEPT) {
        return None;
    }
    let cidr = prefix(scope, &at.field("cidr"), cidr);
    let parsed = all(except.iter().enumerate().map(|(index, text)| {
        let at = list.item(index);
        let inner = prefix(scope, &at, text)?;
        inside(scope, &at, cidr?, inner)
    }));
    let block = IpBlock { cidr: cidr?, except: parsed? };
    distinct(scope, &list, &block.except).then_some(block)
}

fn prefix(scope: &mut Scope, at: &At, text: &str) -> Option<IpNet> {
    if text.is_empty() {
        scope.missing(at, "a prefix such as 10.0.0.0/8 or 2001:db8::/32");
        return None;
    }
    let Some(net) = network(text) else {
        let message = format!("'{}' is no CIDR prefix; write 10.0.0.0/8 or 2001:db8::/32", shown(text));
        scope.refuse("invalid_cidr", at, message);
        return None;
    };
    let canonical = net.trunc();
    if canonical != net {
        let message =
            format!("{net} has host bits; write {canonical}, or a longer prefix if one host was meant");
        scope.refuse("cidr_host_bits", at, message);
        return None;
    }
    if mapped(&net.addr()).is_some() {
        let message = format!("{net} is an IPv4 prefix in IPv6 clothes; write it as IPv4");
        scope.refuse("mapped_address", at, message);
        return None;
    }
    Some(net)
}

/// `ADDRESS/LENGTH` without leading zeros, which some readers take for octal.
fn network(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let bits = length.parse::<u8>().ok().filter(|bits| bits.to_string() == length)?;
    IpNet::new(address.parse().ok()?, bits).ok()
}

fn inside(scope: &mut Scope, at: &At, outer: IpNet, inner: IpNet) -> Option<IpNet> {
    if outer.contains(&inner) && inner.prefix_len() > outer.prefix_len() {
        return Some(inner);
    }
    let message = format!("{inner} is no longer prefix inside {outer}; leave out only parts of the block");
    scope.refuse("except_outside_cidr", at, message);
    None
}

fn distinct(scope: &mut Scope, at: &At, nets: &[IpNet]) -> bool {
    let mut sorted = nets.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let twice = pair.first().map(IpNet::to_string).unwrap_or_default();
            scope.refuse("duplicate_item", at, format!("{twice} is listed twice; list it once"));
            false
        }
        None => true,
    }
}

/// The IPv4 address inside `::ffff:0:0/96`.
fn mapped(address: &IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
    }
}
