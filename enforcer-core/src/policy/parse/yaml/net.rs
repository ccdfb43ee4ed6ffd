//! Blocks, ports and durations: the words that several kinds share.

use enforcer_proto::v1;
use prost_types::Duration;

use super::fields::{Fields, Reader};
use super::node::Node;
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
    let seconds = seconds(&text);
    if seconds.is_none() {
        let message = format!("'{}' is no duration; write 90s, 5m or 1h30m", shown(&text));
        reader.refuse("invalid_lease", &path, node.line, message);
    }
    seconds.map(|seconds| Duration { seconds, nanos: 0 })
}

/// Whole numbers with the units h, m, s, each at most once and in this order.
fn seconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total: i64 = 0;
    for (unit, length) in [('h', 3_600), ('m', 60), ('s', 1)] {
        let Some((number, after)) = rest.split_once(unit) else { continue };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(length)?)?;
        rest = after;
    }
    (rest.is_empty() && !text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(seconds("90s"), Some(90));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("1h30m"), Some(5_400));
        assert_eq!(seconds("1h2m3s"), Some(3_723));
        for wrong in [
            "",
            "5",
            "5d",
            "m5",
            "1m1h",
            "5m5m",
            "-5s",
            "+5s",
            "1.5h",
            "5 s",
            "99999999999999999999s",
            "9223372036854775807h",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
