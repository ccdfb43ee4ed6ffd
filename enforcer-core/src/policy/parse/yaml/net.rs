//! Blocks, ports and durations: the words that several kinds share.

use enforcer_proto::v1;
use prost_types::Duration;

use super::fields::{Fields, Reader};
use super::node::Node;
use crate::duration::parse_seconds;
use crate::policy::parse::words::PROTOCOLS;
use crate::policy::problem::shown;

pub(super) fn block(reader: &mut Reader, path: &str, node: &Node) -> Option<v1::IpBlock> {
    let mut fields = reader.map(path.to_owned(), node)?;
    let cidr = fields.require(reader, "cidr", "a prefix such as 10.0.0.0/8");
    let cidr = cidr.and_then(|(path, node)| reader.text(&path, node));
    let except = match fields.take(reader, "except") {
        Some((path, node)) => texts(reader, &path, node),
        None => Vec::new(),
    };
    fields.finish(reader);
    Some(v1::IpBlock { cidr: cidr?, except })
}

pub(super) fn texts(reader: &mut Reader, path: &str, node: &Node) -> Vec<String> {
    let items = reader.list(path, node);
    items.into_iter().filter_map(|(path, node)| reader.text(&path, node)).collect()
}

/// The field `ports`, absent for every service.
pub(super) fn ports(reader: &mut Reader, fields: &mut Fields) -> Option<v1::PortList> {
    let (path, node) = fields.take(reader, "ports")?;
    let items = reader.list(&path, node);
    let items = items.into_iter().filter_map(|(path, node)| port(reader, path, node)).collect();
    Some(v1::PortList { items })
}

fn port(reader: &mut Reader, path: String, node: &Node) -> Option<v1::Port> {
    let mut fields = reader.map(path, node)?;
    let protocol = fields.require(reader, "protocol", "one of TCP, UDP, SCTP, ICMP, ICMPv6");
    let protocol = protocol.and_then(|(path, node)| reader.word(&path, node, PROTOCOLS));
    let [port, end_port, icmp_type, icmp_code] = ["port", "endPort", "icmpType", "icmpCode"]
        .map(|field| fields.take(reader, field).and_then(|(path, node)| reader.number(&path, node)));
    fields.finish(reader);
    Some(v1::Port { protocol: protocol?, port, end_port, icmp_type, icmp_code })
}

/// The field `lease`: `90s`, `5m`, `1h30m`.
pub(super) fn lease(reader: &mut Reader, fields: &mut Fields) -> Option<Duration> {
    let (path, node) = fields.take(reader, "lease")?;
    let text = reader.text(&path, node)?;
    let seconds = parse_seconds(&text);
    if seconds.is_none() {
        let message = format!("'{}' is no duration; write 90s, 5m or 1h30m", shown(&text));
        reader.refuse("invalid_lease", &path, node.line, message);
    }
    seconds.map(|seconds| Duration { seconds, nanos: 0 })
}
