//! The words between parentheses at the end of a line of `hubble observe`. Clients print a rule's name only where a
//! verdict enforced it, so what would have been denied, and by whom, stands here.

use enforcer_common::verdict::{ALLOW, AUDIT, DENY, action_name};
use enforcer_proto::hubble::flow::layer4::Protocol;
use enforcer_proto::hubble::flow::{Layer4, TcpFlags};
use enforcer_proto::v1;

use super::names::Names;
use crate::event::names::is_default_rule;

/// Of a record: who (would have) refused, why, how it is carried, and what the packet was.
#[must_use]
pub fn summary(record: &v1::Record, layer4: Option<&Layer4>, names: &Names) -> String {
    let parts = [decision(record, names), reason(record), carriage(record), layer4.and_then(packet)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn decision(record: &v1::Record, names: &Names) -> Option<String> {
    let is = |action| record.verdict == action_name(action);
    if is(AUDIT) {
        return by("would-deny", &record.rule, &record.rule_owner, names);
    }
    let shadow = |word| by(word, &record.shadow_rule, "", names);
    if is(ALLOW) {
        return shadow("would-deny");
    }
    if !is(DENY) {
        return None;
    }
    match (by("denied", &record.rule, &record.rule_owner, names), shadow("would-allow")) {
        (Some(denied), Some(allowed)) => Some(format!("{denied}; {allowed}")),
        (denied, allowed) => denied.or(allowed),
    }
}

fn by(word: &str, rule: &str, owner: &str, names: &Names) -> Option<String> {
    if rule.is_empty() {
        return None;
    }
    if is_default_rule(rule) {
        return Some(format!("{word} by default"));
    }
    match names.owner(rule, owner) {
        owner if owner.is_empty() => Some(format!("{word} by {rule}")),
        owner => Some(format!("{word} by {owner}/{rule}")),
    }
}

/// Our own word: several of ours share a number of Cilium's. A rule's refusal is told already.
fn reason(record: &v1::Record) -> Option<String> {
    (!matches!(record.reason.as_str(), "" | "none" | "rule_denied")).then(|| record.reason.clone())
}

fn carriage(record: &v1::Record) -> Option<String> {
    let facts = record.tunnel.as_ref()?;
    let words = ["mutual TLS", &facts.hop, &facts.event, &facts.end];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    Some(words.join(" "))
}

fn packet(layer4: &Layer4) -> Option<String> {
    match layer4.protocol? {
        Protocol::Tcp(tcp) => tcp.flags.as_ref().map(flags),
        Protocol::Udp(_) => Some("UDP".to_owned()),
        Protocol::Sctp(_) => Some("SCTP".to_owned()),
        Protocol::IcmPv4(icmp) => Some(format!("ICMPv4 type {} code {}", icmp.r#type, icmp.code)),
        Protocol::IcmPv6(icmp) => Some(format!("ICMPv6 type {} code {}", icmp.r#type, icmp.code)),
    }
}

fn flags(flags: &TcpFlags) -> String {
    let words = [
        (flags.fin, "FIN"),
        (flags.syn, "SYN"),
        (flags.rst, "RST"),
        (flags.psh, "PSH"),
        (flags.ack, "ACK"),
        (flags.urg, "URG"),
        (flags.ece, "ECE"),
        (flags.cwr, "CWR"),
        (flags.ns, "NS"),
    ];
    let set: Vec<&str> = words.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| *word).collect();
    format!("TCP Flags: {}", set.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::layer4::layer4;
    use super::super::stage::{denied, names, record};
    use super::*;

    fn of(record: v1::Record) -> String {
        let syn = v1::FlowFacts { tcp_flags: 2, ..v1::FlowFacts::default() };
        let record = v1::Record { flow: record.flow.clone().or(Some(syn)), ..record };
        summary(&record, layer4(&record).as_ref(), &names())
    }

    #[test]
    fn what_was_only_audited_says_who_would_deny_it() {
        let audited = v1::Record { verdict: "audit".to_owned(), ..denied() };
        assert_eq!(of(audited.clone()), "would-deny by blue/deny-xtenant; TCP Flags: SYN");
        let by_default = v1::Record {
            rule: "no-rule-matched".to_owned(),
            reason: "cross_tenant_no_rule".to_owned(),
            ..audited
        };
        assert_eq!(of(by_default), "would-deny by default; cross_tenant_no_rule; TCP Flags: SYN");
        let shadowed = v1::Record { shadow_rule: "deny-xtenant".to_owned(), ..record() };
        assert_eq!(of(shadowed), "would-deny by blue/deny-xtenant; TCP Flags: SYN");
    }

    #[test]
    fn a_refusal_says_by_whom_and_what_an_audit_rule_would_do() {
        assert_eq!(of(denied()), "denied by blue/deny-xtenant; TCP Flags: SYN");
        let shadowed = v1::Record { shadow_rule: "web-to-db".to_owned(), ..denied() };
        assert_eq!(
            of(shadowed),
            "denied by blue/deny-xtenant; would-allow by blue/web-to-db; TCP Flags: SYN"
        );
        let of_another = v1::Record { rule: String::new(), ..denied() };
        assert_eq!(of(of_another), "TCP Flags: SYN");
    }

    #[test]
    fn what_is_allowed_has_the_packet_alone() {
        assert_eq!(of(record()), "TCP Flags: SYN");
        let bits = v1::FlowFacts { tcp_flags: 0x1ff, ..v1::FlowFacts::default() };
        let all = of(v1::Record { flow: Some(bits), ..record() });
        assert_eq!(all, "TCP Flags: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, NS");
        assert_eq!(of(v1::Record { protocol: "UDP".to_owned(), ..record() }), "UDP");
        let echo = v1::Record { protocol: "ICMP".to_owned(), icmp_type: Some(8), ..record() };
        assert_eq!(of(echo), "ICMPv4 type 8 code 0");
    }

    #[test]
    fn a_tunnelled_flow_says_how_it_is_carried() {
        let facts = v1::TunnelFacts {
            event: "closed".to_owned(),
            hop: "hbone".to_owned(),
            end: "clean".to_owned(),
            ..v1::TunnelFacts::default()
        };
        assert_eq!(
            of(v1::Record { tunnel: Some(facts), ..record() }),
            "mutual TLS hbone closed clean; TCP Flags: SYN"
        );
    }
}
